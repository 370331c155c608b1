"""Tests: unit, shared, protocol."""
