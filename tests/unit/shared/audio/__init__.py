"""Tests: unit, shared, audio."""
