"""Tests: services.gateway."""
