"""PURE. What can be wrong with audio.

AudioError
├── UnusableWav       a file that is not WAV, or WAV of a kind we don't read
└── WrongSamples      an array that is not what the function takes: a bug of the caller's
"""

from __future__ import annotations


class AudioError(ValueError):
    """Audio that can't be used as it is."""


class UnusableWav(AudioError):
    """A WAV file that can't be read; the text says why."""


class WrongSamples(AudioError, TypeError):
    """Samples of the wrong type or shape."""
