"""Errors of offline speech synthesis.

SpeechError
├── VoiceUnavailable    no engine or no such voice here: says what to install
└── SynthesisFailed     an engine broke on a text: the next text may work
"""

from __future__ import annotations


class SpeechError(Exception):
    """Base of every error of this package."""


class VoiceUnavailable(SpeechError):
    """No voice can be opened; `tried` pairs each engine with why it could not."""

    def __init__(self, name: str | None, tried: tuple[tuple[str, str], ...]) -> None:
        super().__init__(name, tried)
        self.name = name
        self.tried = tried

    def __str__(self) -> str:
        wanted = "no offline voice" if self.name is None else f"no offline voice {self.name!r}"
        reasons = "; ".join(f"{engine}: {reason}" for engine, reason in self.tried)
        return (
            f"{wanted} on this machine ({reasons}). Install one of: the system package 'flite' "
            "(apt-get install flite, brew install flite), 'espeak-ng', or the Python package "
            "'espeakng-loader' (pip install espeakng-loader)."
        )


class SynthesisFailed(SpeechError):
    """An engine did not speak a text."""

    def __init__(self, voice: str, detail: str) -> None:
        super().__init__(voice, detail)
        self.voice = voice
        self.detail = detail

    def __str__(self) -> str:
        return f"voice {self.voice}: {self.detail}"
