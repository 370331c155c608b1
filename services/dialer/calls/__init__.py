"""Calls one by one: placing them, hanging them up, telling what became of them."""
