"""clickstream: web-log analytics on the classic Apache stack, as one lambda architecture."""

__version__ = "0.1.0"
