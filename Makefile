# `make help` lists the targets.
VENV ?= .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
CODE := src components pipelines tests benchmarks scripts
RUNNERS ?= dvc process container
unexport PYTHONDONTWRITEBYTECODE # every process would compile all it imports, which takes a minute
.PHONY: help install fmt check docs test test-unit parity demo serve bench image image-test clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' $(MAKEFILE_LIST) | while read -r target text; do printf '%-12s %s\n' $$target "$$text"; done

install: $(BIN)/.installed ## make .venv and install what the lock names

$(BIN)/.installed: pyproject.toml constraints.txt scripts/install scripts/install-torch
	scripts/install $(VENV)
	touch $@

fmt: install ## format the code and compile the pipelines
	python -m pipelines
	ruff format $(CODE)
	ruff check --fix-only --quiet $(CODE)

check: install docs ## lint, type-check and build the documentation
	ruff format --check $(CODE)
	ruff check $(CODE)
	mypy
	hadolint Dockerfile

docs: install ## build the documentation into site/, where every broken link is an error
	NO_MKDOCS_2_WARNING=1 mkdocs build --quiet

test: install ## every test but those of images; a file's tests stay together, since they share what they made
	pytest -n auto --dist loadfile

test-unit: install ## the tests without servers or trainings, in about a minute
	pytest -n auto --dist loadfile tests/unit tests/wiring

parity: install $(if $(filter container,$(RUNNERS)),image) ## the pipeline with DVC, in processes and in containers: the same bytes
	python tests/parity.py $(RUNNERS)

demo: install ## from raw data to registered models and answered requests
	adloom demo

serve: install ## serve the registry's champions on localhost:3000, to whoever is on this machine
	ADLOOM_AUTH=off adloom serve

bench: install ## print every benchmark's table
	for script in benchmarks/*.py; do python $$script || exit 1; done

image: ## build the images adloom-train and adloom-serve
	scripts/image

image-test: install ## run the built images as their users do
	pytest -m images tests/images

clean: ## remove what the pipeline made, keep the downloads and the environment
	rm -rf data models reports dvc.lock mlflow.db* mlartifacts
