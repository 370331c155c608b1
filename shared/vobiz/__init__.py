"""Vobiz's REST API: one client for the services that ask for something."""
