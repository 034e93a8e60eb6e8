# Every verb sets up what it needs. `make` alone lists them.
SHELL := /bin/bash
PYTHON ?= python3.11
# Empty: plain torch==2.13.0 (on PyPI that is the CUDA build). For the CPU build, name an index that has it.
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# The tests start hundreds of programs: compiled modules are kept, also where the environment says otherwise.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo models cards test test-full soak bench campaigns docs lint clean
.DEFAULT_GOAL := help

help:  ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: $(READY)  ## make .venv from requirements.lock

$(READY): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is missing; install Python 3.11, or name it: make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "make: $(PYTHON) is not Python 3.11; name one: make PYTHON=/path/to/python3.11"; exit 2; }
	@echo "setting up $(VENV) (about 1 GB; a few minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --no-deps -r requirements.lock
	@$(PIP) install torch==2.13.0 --constraint requirements.lock $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)  ## the whole journey on one model: train, export, verify, publish, serve, predict
	@exec $(BIN)/maas demo

models: $(READY)  ## train, export and publish the whole catalogue (about 16 minutes)
	@$(BIN)/maas train --all
	@$(BIN)/maas export --all
	@$(BIN)/maas publish $$($(BIN)/maas models --all --bundles)

cards: models  ## measure every model, the languages over three seeds, and write docs/models/
	@$(BIN)/maas train language_rnn language_attention language_transformer --seeds 3
	@$(BIN)/maas cards --measure --write

test: $(READY)  ## all checks and tests, a real Triton included (12 to 17 minutes of two cores)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

test-full: $(READY)  ## the tests with the long ones
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m ''

soak: $(READY)  ## 15 minutes of mixed load while stubs and servers are killed
	@$(BIN)/python -m tests.soak.soak $(SOAK)

bench: $(READY)  ## embedded Triton and the client, each beside its peers (BENCH=client, load, gateway: only that)
	@PYTHONPATH=tests $(BIN)/python -m bench $(BENCH)
	@$(if $(BENCH),,PYTHONPATH=tests $(BIN)/python -m bench client)

campaigns: $(READY)  ## rollouts, bad versions and good ones under traffic (about an hour of a quiet machine)
	@$(BIN)/python -m tests.campaigns.rollouts --count 30
	@$(BIN)/python -m tests.campaigns.bad_versions --count 30
	@$(BIN)/python -m tests.campaigns.good_versions --count 30

docs: $(READY)  ## the reference of the client, from its docstrings
	@$(BIN)/python -m tests.client.reference

lint: $(READY)  ## format and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:  ## remove all that is built (build/, published versions); keeps .venv
	@rm -rf build dist .model_repository.maas model_repository/*/[0-9]*
