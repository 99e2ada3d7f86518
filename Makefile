# Everything that a fresh checkout needs: Python 3.11 or newer, make and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ORCHESTRATOR := $(BIN)/orchestrator

.PHONY: run test lint bench soak schema docs clean

run: $(VENV)/.example ## Run the example jobs.yaml
	@exec $(ORCHESTRATOR) run

test: $(VENV)/.dev ## Run every test
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)

lint: $(VENV)/.dev ## Check style, types and the rooms' imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench ## Measure, beside a peer
	$(BIN)/python -m benchmarks

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
