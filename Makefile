# One command each on a bare machine with python3, pip, make and git. `make` alone lists the targets.
#
#   EXTRAS=core   leave Lava out and use the newest Python found (remembered by the environment made)
#   EXTRAS=light  what `pip install neurodeploy` brings and no more: no torch, and nothing that tests need
#   VENV=folder   another environment, PYTHON=3.12 with another Python
#   WORKERS=4     test processes, TESTS=tests/unit/frontends only these
#   UPGRADE=1     make lock: take newer releases
#   N=100000      make fuzz: so many files, SEED=1 other ones

VENV ?= .venv
PYTHON ?=
# What an existing environment was made with goes on, so that `make test` does not bring Lava back after EXTRAS=core.
EXTRAS ?= $(or $(patsubst $(VENV)/.ready-%,%,$(firstword $(wildcard $(VENV)/.ready-*))),full)
WORKERS ?= auto
READY := $(VENV)/.ready-$(EXTRAS)
BIN := $(VENV)/bin
LIBRARIES := .tools/libraries

.DEFAULT_GOAL := help
.PHONY: help setup test test-slow test-libraries fuzz lint format deps docs site demo lock clean distclean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

setup: $(READY) ## make .venv (Python 3.10 with Lava; EXTRAS=core without, EXTRAS=light small)
	@:

$(READY): pyproject.toml $(wildcard requirements/*.txt) scripts/setup.sh
	@scripts/setup.sh $(VENV) $(EXTRAS) $(PYTHON)

# One thread per worker: numpy's and torch's own threads would compete with the test processes.
test test-slow test-libraries: export OMP_NUM_THREADS ?= 1
test test-slow test-libraries: export NUMBA_NUM_THREADS ?= 1

test: setup ## run the tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" $(TESTS)

test-slow: setup ## run the long proofs (minutes)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m slow $(TESTS)

# An old release beside the current one, and what comes without a wheel: in a folder of their own, before the environment.
test-libraries: setup $(LIBRARIES)/.ready ## run the tests of live neurons beside Norse and SpikingJelly 0.0.0.0.12
	PYTHONPATH=$(LIBRARIES) $(BIN)/python -m pytest tests/conformance/test_source_libraries.py \
		tests/unit/frontends/test_leaves.py tests/unit/frontends/test_handed_states.py \
		tests/unit/frontends/test_jelly_releases.py

$(LIBRARIES)/.ready: requirements/libraries.txt
	$$(scripts/uv.sh) pip install --quiet --python $(VENV) --target $(LIBRARIES) --upgrade --no-deps --require-hashes \
		--requirement requirements/libraries.txt
	touch $@

N ?= 2000
SEED ?= 0
fuzz: setup ## damage N files of every kind at random and see them refused (N=2000 SEED=0)
	$(BIN)/python -m tests.fuzz --cases $(N) --seed $(SEED)

lint: setup ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## let ruff fix and format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

deps: setup ## find undeclared and unused dependencies
	$(BIN)/deptry .

docs: setup ## fill the generated parts of README.md and docs/
	$(BIN)/python docs/build.py

# Tools of their own, so that neither tests nor users have them.
site: .tools/site/.ready ## make the docs as a site in site/, which opens from the folder (Python 3.12)
	NO_MKDOCS_2_WARNING=1 .tools/site/bin/mkdocs build --quiet

.tools/site/.ready: requirements/site.txt
	uv=$$(scripts/uv.sh) && PYENV_VERSION=3.12 $$uv venv --quiet --clear --no-project --python 3.12 .tools/site && \
		$$uv pip sync --quiet --python .tools/site --require-hashes requirements/site.txt
	touch $@

demo: setup ## build the two flagship models for loihi-sim
	$(BIN)/neurodeploy build digits-a2os2a --target loihi-sim
	$(BIN)/neurodeploy build digits-vit --target loihi-sim --method ecmt --timesteps 2

lock: ## regenerate requirements/ (UPGRADE=1 for newer releases)
	scripts/lock.sh $(if $(UPGRADE),--upgrade)

clean: ## remove caches and build products
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find neurodeploy models hw_targets tests benchmarks scripts -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## remove the environments and .tools as well
	rm -rf .venv .venv-* .tools
