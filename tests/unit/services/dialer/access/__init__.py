"""Tests: unit, services, dialer, access."""
