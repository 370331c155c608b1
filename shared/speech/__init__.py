"""Offline text to speech for the agent and the simulator: no key, no download."""

from shared.speech.errors import SpeechError, SynthesisFailed, VoiceUnavailable
from shared.speech.voice import Voice, open_voice

__all__ = ["SpeechError", "SynthesisFailed", "Voice", "VoiceUnavailable", "open_voice"]
