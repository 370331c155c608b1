"""Tests: Agent: providers: openai."""
