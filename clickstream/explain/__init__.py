"""Explanations: of a line, of its way through the stores by its id, and of a report's figure."""
