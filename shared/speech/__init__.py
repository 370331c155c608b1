"""Offline text to speech."""
