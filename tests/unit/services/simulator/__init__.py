"""Tests: unit, services, simulator."""
