"""The two databases, each with what writes it and what reads it."""
