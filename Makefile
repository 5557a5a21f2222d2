# Everything a fresh machine needs: Python 3.11 or later, and make. Each target sets itself up, in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow bench browser lint notebooks clean

help:  ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(READY): setup.cfg constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "persistable needs Python 3.11 or later: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Setting up $(VENV), about a minute ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip setuptools
	$(BIN)/python -m pip install -qq --constraint constraints.txt --config-settings editable_mode=compat --editable '.[dev]'
	@touch $@

demo: $(READY)  ## Run the chain on real exchange rates, from a CSV to a champion, twice: made, and then found.
	@PERSISTABLE_EXAMPLE_SHORT=1 $(BIN)/python examples/04_forecast_eurusd.py
	@echo
	@echo "The same again: nothing is made twice. Beside the times of now stand those of the first run."
	@PERSISTABLE_EXAMPLE_SHORT=1 $(BIN)/python examples/04_forecast_eurusd.py

test: lint browser  ## Lint, check types, and run the tests.
	$(BIN)/python -m pytest -n auto -m "not slow"

test-slow: $(READY)  ## Run the long campaigns too: kills, other interpreters, other versions of numpy and pandas.
	$(BIN)/python -m pytest -n auto -m slow --timeout 1800

lint: $(READY)  ## Run ruff, mypy and pyright.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright

# The report is tested in a real browser. Root on Debian gets one here; elsewhere, without it, those tests are skipped.
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq >/dev/null && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium chromium-driver \
		>/dev/null; } || echo "No chromium and chromedriver: the tests of the report's page are skipped." >&2

bench: $(READY)  ## Measure, as ratios to a floor in the same run, and print a table.
	$(BIN)/python -m benchmarks

notebooks: $(READY)  ## Make the notebooks anew from the examples.
	$(BIN)/python notebooks/make_notebooks.py

clean:  ## Remove what make has made.
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
