"""Vobiz's REST API, and the simulator's own controls."""
