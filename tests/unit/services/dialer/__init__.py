"""Tests: unit, services, dialer."""
