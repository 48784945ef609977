"""Spark jobs: how they are submitted (`submit`), and what runs in their drivers (`driver`)."""
