"""The dashboard: one page on loopback that answers from both layers, and its saved copy."""
