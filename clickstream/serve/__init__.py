"""The serving layer: questions to rows, rows to text."""

from clickstream.serve.api import open_views

__all__ = ["open_views"]
