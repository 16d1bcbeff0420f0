# The only targets: setup, demo, test, bench, serve, docs, lint. Each sets up what it needs.
.PHONY: setup demo test bench serve docs lint
.DELETE_ON_ERROR:

PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
STAMP := .venv/.installed

setup: $(STAMP)

# A second call installs nothing: the stamp is newer than the lock and the project's metadata.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python %d.%d must be 3.11, 3.12 or 3.13; set PYTHON=python3.11" % v)'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: setup
	$(BIN)/spinscope demo

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks

serve: setup
	$(BIN)/spinscope serve

# Builds without network access. Search in the site needs a server:
# .venv/bin/python -m http.server --directory build/site --bind 127.0.0.1
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site: build/site/index.html"
