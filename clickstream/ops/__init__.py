"""What spans the areas: the demo."""
