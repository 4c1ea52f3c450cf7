# Two commands do everything on a machine that has Python 3.10-3.13, make and git:
#
#   make demo     the chat of examples/ at http://127.0.0.1:3000, or another one: EXAMPLE=drawing
#   make test     every check: ruff, mypy, import-linter, Sphinx, pytest, and the unit tests on every other Python that is here
#
# Both make their own .venv and fetch what they need. `make help` lists the rest. PYTHON=… chooses the interpreter.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint types imports docs unit live stress matrix client tools bench fix screenshots wheel clean

SHELL := /bin/sh
# The first that runs and is new enough: a version manager puts names on PATH that do not run.
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PORT ?= 3000
EXAMPLE ?= chat

help: ## this list
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 24

# --- the environments: rebuilt when setup.cfg changes

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.10-3.13 is needed and none was found; install one, or name it: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "$(PYTHON) cannot make a virtual environment; on Debian run: sudo apt-get install -y python3-venv" >&2; exit 1; }

.venv/demo: $(BIN)/python setup.cfg pyproject.toml build_hook.py
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[flask,gevent$$(command -v npm >/dev/null || echo ,node)]"
	@touch $@

.venv/dev: .venv/demo
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

client: .venv/demo ## fetch the JavaScript client that the server serves
	@$(BIN)/python -m sync_sio client

tools: .venv/dev ## fetch what the tests need beside Python packages
	@$(BIN)/python tests/tools.py

# --- the demo

demo: client ## the chat at http://127.0.0.1:3000 (EXAMPLE=… for another one of examples/, PORT=… for another port)
	@PORT=$(PORT) $(BIN)/python examples/$(EXAMPLE)/app.py

# --- the checks

test: lint types imports docs client tools ## everything
	$(BIN)/python tests/tools.py test

lint: .venv/dev ## ruff
	$(BIN)/ruff check .

types: .venv/dev ## mypy --strict, for the oldest and the newest Python
	$(BIN)/mypy --python-version 3.10
	$(BIN)/mypy --python-version 3.13

imports: .venv/dev ## import-linter: who may import whom
	PYTHONPATH=integrations $(BIN)/lint-imports

docs: .venv/dev ## the documentation, in build/docs; a warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going -d build/doctrees docs build/docs

unit: .venv/dev ## the tests that need no other program
	$(BIN)/python -m pytest -m 'not live and not stress'

live: client tools ## real servers, the JavaScript client, a browser
	$(BIN)/python -m pytest -m live

stress: .venv/dev ## long and random
	$(BIN)/python -m pytest -m stress

matrix: .venv/dev ## the unit tests on every other Python 3.10-3.13 of this machine
	$(BIN)/python tests/tools.py matrix

# --- the rest

bench: .venv/dev ## measure this server beside others, 20 minutes (BENCH="echo1 fan1000 --servers threads,node" for a part)
	@$(BIN)/python -m tests.bench $(BENCH)

fix: .venv/dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .

screenshots: client tools ## take the pictures of docs/images anew
	SYNC_SIO_SCREENSHOTS=docs/images $(BIN)/python -m pytest -q tests/live/test_chat.py tests/live/test_board.py tests/live/test_admin.py tests/live/test_examples.py

wheel: .venv/dev client ## build the wheel, the client bundle in it
	$(BIN)/python -m build --wheel

clean: ## remove everything that was made here
	rm -rf .venv .cache build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis sync_sio/wsgi/client
