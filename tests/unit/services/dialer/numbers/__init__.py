"""Numbers, without a network."""
