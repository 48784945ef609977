"""The serving layer: questions to rows, rows to text."""
