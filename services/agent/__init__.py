"""The agent worker: one conversation a call."""
