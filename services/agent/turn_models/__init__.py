"""Models that tell from the sound of it whether a speaker has ended."""
