# demo: install, then run the demo (the app in a terminal, the headless form without one)
# test: every check and every test     check: lint, types and import contracts only     bench: measurements

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --quiet -c constraints.txt
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
WORKERS ?= 2

.PHONY: demo test check bench clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed
	@if [ -t 0 ] && [ -t 1 ] && [ -t 2 ]; then $(BIN)/tunedeck demo; else $(BIN)/tunedeck demo --headless; fi

test: check
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

check: $(VENV)/installed-dev
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo > $(VENV)/imports.txt || { cat $(VENV)/imports.txt; exit 1; }

bench: $(VENV)/installed-dev
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/bin/python:
	@echo "Making a Python environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

# torch first and from its pin: an open range would pull gigabytes of GPU packages on some machines.
$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing tunedeck (a few minutes the first time) ..."
	@$(PIP) $(TORCH)
	@$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing the test tools ..."
	@$(PIP) --editable '.[dev]'
	@touch $@
