# The commands of this repository. Needs Python 3.11+, git and make; root only where a Debian package must be installed.
#
#   make test                    all checks: ruff, mypy --strict, import-linter, pytest   (what .ci/run calls)
#   make lint                    the same without pytest
#   make demo [CHECK=1]          a bridge at work on a real homeserver; CHECK=1: a scripted conversation, then exit
#   make container [CHECK=1]     the image, built with buildah; CHECK=1: the scripted conversation through it (root, Debian)
#   make screenshots             the pictures of the demo in docs/img, made anew
#   make pictures                the other pictures of the documentation, from the code
#   make docs                    the documentation as a site in site/; a warning or a broken link fails
#   make chaos [KILLS=] [SEED=] [ARGS=]  kill the bridge again and again, compare what both ends hold (ARGS=--help)
#   make bench BENCH=ingest      one benchmark
#   make clean                   remove everything that make has made

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := test
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CODE := $(wildcard bridgekit example_bridge tests benchmarks scripts)
PYTEST_ARGS ?=

# Says nothing when the command succeeds, everything when it fails.
quietly = @out=$$($(1) 2>&1) || { printf '%s\n' "$$out" >&2; echo 'failed: $(1)' >&2; exit 1; }

.PHONY: test lint demo container screenshots pictures docs chaos bench clean tools venv

# The whole suite runs side by side, a file of tests in one process, each process with servers of its own; more than four
# would only wait for each other's. With PYTEST_ARGS (a file, -k ...) it is one process, of what they say.
test: lint tools
	@$(BIN)/python -m pytest $(or $(PYTEST_ARGS),-n auto --maxprocesses 4 --dist loadfile)

# No cache for import-linter: its own keeps taking an import of a module that was made later for one of the package.
lint: $(STAMP)
	$(call quietly,$(BIN)/ruff check .)
	$(call quietly,$(BIN)/ruff format --check .)
	$(call quietly,$(BIN)/mypy --strict $(CODE))
	$(call quietly,$(BIN)/lint-imports --no-cache)

demo: $(STAMP)
	@exec $(BIN)/python -m example_bridge.demo $(if $(CHECK),--check)

container: $(STAMP)
	@scripts/ensure-tools.sh container
	@exec $(BIN)/python -m tests.container $(if $(CHECK),--check)

screenshots: $(STAMP)
	@scripts/ensure-tools.sh screenshots
	@exec $(BIN)/python -m tests.browser.screenshots

pictures: $(STAMP)
	@$(BIN)/python -m scripts.pictures

docs: $(STAMP)
	@$(BIN)/sphinx-build -q -W --keep-going -E -d site/.doctrees -b html docs site
	@echo 'site/index.html'

chaos: $(STAMP)
	@exec $(BIN)/python -m tests.chaos $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: $(STAMP)
	@[[ -n "$(BENCH)" ]] || { echo 'say which benchmark: make bench BENCH=ingest' >&2; exit 2; }
	@exec $(BIN)/python -m benchmarks.$(BENCH) $(ARGS)

# PostgreSQL's binaries, strace, Chromium ... for the tests that need them; scripts/ensure-js.sh is called by those.
tools:
	@scripts/ensure-tools.sh test

venv: $(STAMP)

# Made again when pyproject.toml changes; a second run costs nothing.
$(STAMP): pyproject.toml scripts/make-venv.sh
	@scripts/make-venv.sh "$(PYTHON)" "$(VENV)"
	@touch $@

clean:
	@rm -rf $(VENV) .node .container .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build site
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
