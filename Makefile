# One vocabulary: make install fmt check test demo serve bench
VENV ?= .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
.PHONY: install fmt check test demo serve bench clean

install: $(BIN)/.installed ## make .venv and install what the lock names

$(BIN)/.installed: pyproject.toml constraints.txt scripts/install
	scripts/install $(VENV)
	touch $@

fmt: install ## format the code and compile the pipelines
	python -m pipelines
	ruff format src components pipelines tests benchmarks
	ruff check --fix-only --quiet src components pipelines tests benchmarks

check: install ## lint and type-check
	ruff format --check src components pipelines tests benchmarks
	ruff check src components pipelines tests benchmarks
	mypy

test: install ## every test
	pytest

demo: install ## from raw data to registered models and answered requests
	adloom demo

serve: install ## serve the registry's champions on localhost:3000
	adloom serve

bench: install ## print every benchmark's table
	for script in benchmarks/*.py; do python $$script || exit 1; done

clean: ## remove what the pipeline made, keep the downloads and the environment
	rm -rf data models reports dvc.lock mlflow.db mlartifacts
