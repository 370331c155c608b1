"""Hundreds of interruptions, and of sounds that are none, played to the real ears."""
