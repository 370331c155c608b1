"""Deepgram: transcription and speech, by its own SDK."""
