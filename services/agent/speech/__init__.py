"""The agent's voice as phone audio, remembered and shared."""
