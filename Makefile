# Everything runs from .venv, which `make install` creates with nothing on the machine but Python >= 3.11 and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Bytecode is kept, whatever the environment says: nodes and tests are hundreds of processes that would each compile it.
export PYTHONDONTWRITEBYTECODE :=

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile

DISTRIBUTIONS := $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml))
PROTOCOL := libs/contracts/hatch_build.py $(shell find proto -name '*.proto' -o -type d)

# Each stamp says when its step last succeeded; a step runs again when one of its inputs is newer.
LOCKED := $(VENV)/.locked
GENERATED := $(VENV)/.generated
INSTALLED := $(VENV)/.installed
DEVELOPED := $(VENV)/.developed

.PHONY: help install demo test soak check fix bench bench-engine bench-membership bench-routing compliance wheels lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

install: $(INSTALLED) $(GENERATED) ## create .venv with every distribution, editable

demo: install ## one load test over two datacenters on this machine, with live view and verdict
	$(BIN)/hyperscale run examples/quickstart.yaml

test: install $(DEVELOPED) ## every test but the soak
	$(BIN)/python -m pytest -n 4 --dist loadscope --no-loadscope-reorder -m "not soak" $(ARGS)

soak: install $(DEVELOPED) ## the long simulations
	$(BIN)/python -m pytest -m soak --timeout 0 $(ARGS)

check: install $(DEVELOPED) ## format, lint, types, import layers, protocol, dead code, compliance, house rules
	tools/check.sh

fix: $(DEVELOPED) ## what can be mended automatically
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench-engine: install $(DEVELOPED) ## the load engine beside its targets, wrk and Locust; ARGS="--only memory" for one
	@$(BIN)/python bench/bench_engine.py $(ARGS)

bench-membership: install $(DEVELOPED) ## membership in simulations beside its targets; ARGS="--only detection" for one
	@$(BIN)/python bench/bench_membership.py $(ARGS)

bench-routing: install $(DEVELOPED) ## where jobs go, beside random choice, the nearest datacenter and an oracle
	@$(BIN)/python bench/bench_routing.py $(ARGS)

bench: install $(DEVELOPED) ## every benchmark; each prints its ratios and appends JSON to bench/results
	@shopt -s nullglob; for script in bench/bench_*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

compliance: install $(DEVELOPED) ## which tests prove which requirement: docs/compliance.md
	$(BIN)/python -m tools.compliance

wheels: install ## a wheel of each distribution, in dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist $(DISTRIBUTIONS:%=./%)
	@ls dist

lock: $(DEVELOPED) ## pin dependencies anew; ARGS=--upgrade moves the pins
	tools/lock.sh $(ARGS)

clean: ## remove whatever is generated
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find libs services -name '*_pb2*.py*' -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@for python in "$${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Creating $(VENV) with $$python"; exec "$$python" -m venv $(VENV); \
	  fi; \
	done; echo "Python 3.11 or later with its venv module is needed; set PYTHON to its path" >&2; exit 1

$(LOCKED): requirements.lock | $(BIN)/python
	@echo "Installing dependencies"
	@$(PIP_INSTALL) --require-hashes -r requirements.lock
	@touch $@

$(INSTALLED): VERSION libs/contracts/hatch_build.py $(DISTRIBUTIONS:%=%/pyproject.toml) $(LOCKED)
	@echo "Installing the distributions"
	@$(PIP_INSTALL) --no-build-isolation $(DISTRIBUTIONS:%=--editable %)
	@touch $@ $(GENERATED)

$(GENERATED): $(PROTOCOL) | $(INSTALLED)
	@$(BIN)/python libs/contracts/hatch_build.py
	@touch $@

$(DEVELOPED): requirements-dev.lock $(LOCKED)
	@echo "Installing development tools"
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@
