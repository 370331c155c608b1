"""The workers as a gateway sees them: the pool, links to them, whether they live."""
