"""Tests: unit, services, dialer, desk."""
