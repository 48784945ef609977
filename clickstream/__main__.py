"""`python -m clickstream`."""

from clickstream.cli import run

run()
