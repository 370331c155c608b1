"""Dialogues of the offline brain, as data."""
