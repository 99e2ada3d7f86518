# Everything that a fresh checkout needs: Python 3.11 or newer, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ORCHESTRATOR := $(BIN)/orchestrator

.PHONY: run test lint bench mutations soak schema docs clean

run: $(VENV)/.example ## Run the example jobs.yaml
	@exec $(ORCHESTRATOR) run

test: $(VENV)/.dev ## Run every test
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/.dev ## Check style, types, the rooms' imports, and what is known to be unsafe
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive orchestrator plugins
	$(BIN)/python -m checks.audit

bench: $(VENV)/.bench ## Measure, beside a peer
	$(BIN)/python -m benchmarks

mutations: $(VENV)/.dev ## Take out each mechanism that a promise rests on: its tests must fail
	$(BIN)/python -m soak.mutations $(MUTATIONS)

soak: $(VENV)/.dev ## Kill, freeze and restart engines at random for SOAK=3m, then look for lost and doubled runs
	$(BIN)/python -m soak --for $(or $(SOAK),3m) $(SOAK_ARGS)

schema: $(VENV)/.dev ## Write what is generated from the models: the JSON Schema and the references
	$(ORCHESTRATOR) schema
	$(BIN)/python -m orchestrator.config.reference docs/reference/config.md
	$(BIN)/python -m orchestrator.cli.reference docs/cli.md

clean: ## Remove the virtual environment and the example's state
	rm -rf $(VENV) var

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "orchestrator needs Python 3.11 or newer; name one with make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The markers say which extras are installed; a change of pyproject.toml installs again.
$(VENV)/.example: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[example]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/.example $@

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,bench]'
	@touch $(VENV)/.example $(VENV)/.dev $@
