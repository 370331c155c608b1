"""Telephone numbers: how they are written, where they ring, and which are never dialled."""
