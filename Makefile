# `make help` lists the targets.
VENV ?= .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
CODE := src components pipelines tests benchmarks scripts
RUNNERS ?= dvc process container
# Slow files have few tests: at the end, where xdist puts them by default, a worker would wait for them.
# One worker more than cores: tests wait for servers and disks.
PARALLEL := -n $(shell expr $$(nproc) + 1) --dist loadfile --no-loadscope-reorder
unexport PYTHONDONTWRITEBYTECODE # without bytecode every process would compile its imports, which takes a minute
.PHONY: help install install-dev fmt check docs test test-unit parity demo serve bench seeds image image-test clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' $(MAKEFILE_LIST) | while read -r target text; do printf '%-12s %s\n' $$target "$$text"; done

install: $(BIN)/.installed ## create .venv and install the locked packages that adloom runs on

install-dev: $(BIN)/.installed-dev ## add what the checks and tests need

$(BIN)/.installed: pyproject.toml constraints.txt scripts/install scripts/install-torch
	scripts/install $(VENV) train,serve
	touch $@

$(BIN)/.installed-dev: $(BIN)/.installed
	scripts/install $(VENV) train,serve,spark,dev
	touch $@

fmt: install-dev ## format the code and compile the pipelines
	python -m pipelines
	ruff format $(CODE)
	ruff check --fix-only --quiet $(CODE)

check: install-dev docs ## lint, type-check and build the documentation
	ruff format --check $(CODE)
	ruff check $(CODE)
	mypy
	hadolint Dockerfile

docs: install-dev ## build the documentation into site/; broken links are errors
	NO_MKDOCS_2_WARNING=1 mkdocs build --quiet

test: install-dev ## all tests except those of images; tests of one file share a worker and its fixtures
	pytest $(PARALLEL)

test-unit: install-dev ## the quick unit tests, in about a minute; no servers, trainings or simulations
	pytest $(PARALLEL) -m "not slow" tests/unit

parity: install-dev $(if $(filter container,$(RUNNERS)),image) ## compare the artifacts of DVC, processes and containers byte by byte
	python tests/parity.py $(RUNNERS)

demo: install ## run everything: raw data, registered models, answered requests
	adloom demo

serve: install ## serve the registry's champions on localhost:3000, without authentication
	ADLOOM_AUTH=off adloom serve

bench: install-dev ## run all benchmarks and print their tables
	for script in benchmarks/*.py; do python $$script || exit 1; done

seeds: install-dev ## train and measure every model with 5 seeds, and print intervals; resumable, takes hours
	python scripts/seeds.py

image: ## build the images adloom-train and adloom-serve
	scripts/image

image-test: install-dev ## test the built images
	pytest -m images tests/images

clean: ## remove the pipeline's outputs; keep downloads and environment
	rm -rf data models reports dvc.lock mlflow.db* mlartifacts
