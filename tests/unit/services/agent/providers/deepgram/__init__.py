"""Tests: Agent: providers: deepgram."""
