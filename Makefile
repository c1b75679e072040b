# make demo   set up and run the main job on the embedded model     make test    set up and run lint and all tests
# make lint   ruff, mypy, imports     make bench   speed, as ratios      make clean   remove what these made
# (tests/benchmarks/bench_error_rates.py, a study of a quarter of an hour, is run by hand)
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
OFFLINE := { echo "set-up failed: pip could not install the dependencies (see above); is a package index reachable?"; exit 1; }

.PHONY: demo test lint bench clean setup
.DELETE_ON_ERROR:

demo: .venv/ready
	@$(BIN)/anytime run params/demo.yaml

test: lint
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/ready-to-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: .venv/ready-to-test
	@for b in $(filter-out %/bench_error_rates.py,$(wildcard tests/benchmarks/bench_*.py)); do echo "== $$b"; $(BIN)/python $$b || exit 1; done

setup: .venv/ready

.venv/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found; install it, or name it: make PYTHON=/path/to/python3"; exit 1; }
	@echo "setting up .venv with $(PYTHON) (once; about a minute)"
	@$(PYTHON) -m venv .venv || { echo "cannot make .venv: on Debian, apt-get install python3-venv"; exit 1; }
	@$(PIP) install -e . || $(OFFLINE)
	@touch $@

.venv/ready-to-test: .venv/ready
	@$(PIP) install -e '.[test]' || $(OFFLINE)
	@touch $@

clean:
	rm -rf .venv outputs/demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find anytime_lib tests -name __pycache__ -prune -exec rm -rf {} +
