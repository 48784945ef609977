"""Retention: days removed for good from the stores that keep them."""
