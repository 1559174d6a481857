# Two commands, each complete on a machine with Python 3.11 and nothing else set up:
#   make demo   install into .venv and run the main job on real cells; results in demo/
#   make test   install into .venv with the test extras and run the tests, on two cores
# `make test-all` adds the long reproductions (marked `slow`): tutorials, published tables, the worm.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
SOURCES := pyproject.toml constraints.txt

# Workers take tests from each other at the end, so that both finish together.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist worksteal --durations 25

.PHONY: demo test test-all lint dev interop tutorials docs docs-check wheel clean

demo: $(VENV)/.installed
	$(BIN)/cellflow demo --out demo

test: $(VENV)/.installed-test
	$(PYTEST)

test-all: $(VENV)/.installed-test
	$(PYTEST) -m ""

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

dev: $(VENV)/.installed-dev
	$(BIN)/pre-commit install

# Tests with the real scVelo, CellRank, moscot, Palantir, scvi-tools, Waddington-OT and scTimeBench. CellRank on
# Python 3.11 needs an older numpy, so they live in an environment of their own (2.8 GB).
interop: .venv-interop/.installed
	.venv-interop/bin/python -m pytest --durations 10 tests/interop/test_real_packages.py tests/evaluation/test_sctimebench_runner.py

# All in place, one after the other: about a quarter of an hour.
tutorials: $(VENV)/.installed-test
	$(BIN)/jupyter execute --inplace tutorials/*.ipynb

# Into docs/_build/html. Tutorials are shown as they were executed, pictures as they are stored: no data is needed.
docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going --nitpicky --jobs 2 --builder html docs docs/_build/html

# The same pages in a headless browser, at 1280 and 400 pixels; needs Debian's chromium and chromium-driver.
docs-check: docs
	$(BIN)/python docs/check.py

wheel: $(VENV)/.installed-dev
	rm -rf dist && $(BIN)/python -m build --wheel

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first, so that its CPU build is there when something else asks for "torch".
$(VENV)/.installed: $(VENV)/bin/python $(SOURCES)
	$(PIP) torch && $(PIP) --editable . && touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) --editable '.[test]' && touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(PIP) --editable '.[dev]' && touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(PIP) --editable '.[docs]' && touch $@

.venv-interop/.installed: $(SOURCES)
	$(PYTHON) -m venv .venv-interop
	.venv-interop/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	.venv-interop/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt 'numpy<2.3' --editable '.[test,peers]' && touch $@

clean:
	rm -rf demo dist docs/_build docs/api docs/tutorials .venv .venv-interop
