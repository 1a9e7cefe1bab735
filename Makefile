# `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
DATA_DIR ?= .tollgate

.DEFAULT_GOAL := help
.PHONY: help setup run demo-data test check format unit integration clients lean-check deploy-check lock clean bench bench-quick

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

setup: $(VENV)/.ready ## set up .venv with everything installed

$(VENV)/.ready: requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tollgate needs Python 3.11 or newer; say which by PYTHON=...")'
	@echo "Setting up $(VENV) (once; about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

run: setup ## start the service with an embedded PostgreSQL and the example plans
	@exec $(BIN)/tollgate serve --port $(PORT) --data-dir $(DATA_DIR) --plans plans.yaml --example-customer demo --show-admin-key

demo-data: setup ## the same with a year of usage of a dozen customers, booked once, to look at
	@exec $(BIN)/tollgate serve --port $(PORT) --data-dir $(DATA_DIR) --plans plans.yaml --example-customer demo --show-admin-key --demo-data

test: setup ## pass all tests, in two processes
	@$(BIN)/pytest -n 2 --dist worksteal

check: setup ## format, lint, types, import contracts, unit tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest tests/unit -q -p no:schemathesis --hypothesis-profile=quick

format: setup ## format the code and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

unit: setup ## the unit tests
	@$(BIN)/pytest tests/unit -p no:schemathesis --hypothesis-profile=quick

integration: setup ## the tests with a real PostgreSQL and real HTTP
	@$(BIN)/pytest tests/integration -n 2 --dist worksteal

clients: setup ## build the clients, install them in empty environments, and use them against a running service
	@$(BIN)/python -m clients.check

lean-check: setup ## install what production installs in an empty environment, and serve from it
	@$(BIN)/python -m deploy.lean

deploy-check: setup ## as root, with debootstrap and socat: prove what is in deploy/ without a container engine
	@$(BIN)/python deploy/check.py

lock: setup ## pin the newest versions of all dependencies, with hashes
	@$(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options --no-header --output-file requirements.lock pyproject.toml
	@$(BIN)/pip-compile --quiet --upgrade --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options --no-header --extra dev --extra embedded --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml

clean: ## remove what was set up (not the data)
	@rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

bench: setup ## compare speed with other ways, under ten minutes; writes benchmarks/results
	@$(BIN)/python -m benchmarks.run

bench-quick: setup ## the same in under a minute, with a line for each bar
	@$(BIN)/python -m benchmarks.run --quick
