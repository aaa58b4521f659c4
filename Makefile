# Every target sets up what it needs on a machine that has Python 3.11 with pip, make and git.
# Nothing outside this folder is changed, but for system packages (scripts/system-packages says which).
SHELL := /bin/sh
# Compiled modules are kept whatever the shell says: else most of the time goes into compiling them anew in every process.
unexport PYTHONDONTWRITEBYTECODE
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := .cache/uv/bin/uv
READY := $(VENV)/.ready
ARGS ?=

.PHONY: demo test quick check docs bench soak lock messages clean

demo: $(READY)   ## run the main job and leave it running to look at
	@scripts/system-packages demo
	@$(BIN)/staffetta lab asynchronous $(ARGS)

test: check      ## every test that CI runs
	@scripts/system-packages test
	@scripts/run-tests all

quick: $(READY)  ## the tests that start no programs
	@scripts/system-packages quick
	@scripts/run-tests quick

soak: $(READY)   ## the whole matrix of kills, every process at every point; writes docs/soak.md
	@scripts/system-packages test
	@scripts/run-tests soak

check: $(READY)  ## style, types, import contract, locks, documentation
	@scripts/check

docs: $(READY)   ## build the documentation as a site in build/docs
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --jobs auto -d .cache/docs docs build/docs
	@echo "build/docs/index.html"

bench: $(READY)  ## measure, and write docs/performance.md
	@scripts/system-packages demo
	@$(BIN)/python -m bench $(ARGS)

messages: $(READY)  ## collect what the pages say into the Italian catalogue, and compile it
	@$(BIN)/python scripts/messages

lock: $(UV)      ## resolve the dependencies again
	@UV=$(UV) scripts/lock

clean:
	rm -rf $(VENV) .cache build

$(UV):
	@mkdir -p .cache
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-warn-script-location --target .cache/uv "uv>=0.9" 2>.cache/pip.log || (cat .cache/pip.log; exit 1)

$(READY): locks/dev.txt pyproject.toml $(UV)
	@echo "Setting up the environment in $(VENV): about half a minute, once." >&2
	@$(UV) venv --quiet --clear --no-python-downloads --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
	@VIRTUAL_ENV=$(VENV) $(UV) pip sync --quiet --require-hashes locks/dev.txt
	@VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --editable .
	@touch $@
