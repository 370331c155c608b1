"""Tests: unit, services, dialer, calls."""
