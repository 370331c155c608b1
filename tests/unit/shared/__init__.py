"""Tests: unit, shared."""
