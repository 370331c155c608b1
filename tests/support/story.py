"""A long story told to many callers, and what each of them heard of it, from the recording.

The caller keys a number first. The story begins with it and the goodbye ends with it, so that only
an agent who remembers gets both right. Each sentence ends in a word of its own: how often a
sentence was heard to its end is how often the sound of that end is in the recording.
"""

from __future__ import annotations

import json
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.simulator.person.speech_span import STEP_SAMPLES, step_levels_dbfs

PLACES = (
    *("castle", "river", "forest", "bridge", "market", "garden", "mountain", "village"),
    *("harbour", "temple", "desert", "island", "tower", "valley", "windmill", "library"),
    *("orchard", "lighthouse", "meadow", "waterfall", "cottage", "palace", "station", "museum"),
)
STORY = [f"After that the traveller came to an old and quiet {place}." for place in PLACES]
GREETING = "Which table is yours?"
OPENING = "This is for table four two."
GOODBYE = "Goodbye table four two."
CALLER = (
    *("--press", "42", "--say", "Goodbye.", "--turn-silence", "4"),
    *("--patience", "150", "--linger", "6", "--max-duration", "170"),
)
SHORT_CALLER = (
    *("--press", "42", "--press", "9", "--turn-silence", "1.5"),
    *("--patience", "40", "--linger", "4", "--max-duration", "60"),
)
"""Says nothing, so that many calls at once cost no recognition."""
_RATE_HZ = 8000
_STEP_S = STEP_SAMPLES / _RATE_HZ
_AUDIBLE_DBFS = -50.0
_SOUND = 260
"""Of 32768, -42 dBFS: the agent's checkpoint is behind the last one."""
_PAUSE_S = 0.11
_END_S = 0.4
_ALIKE = 0.8
_BLOCK_S, _LEAST = 0.02, 0.1


def storyteller(story: Sequence[str] = STORY) -> dict[str, Any]:
    """Return the agent's file; it ends the call at "goodbye" or the key 9."""
    bye = {"phrases": ["goodbye"], "say": "Goodbye table {spoken_digits}.", "then": "hang_up"}
    return {
        "greeting": GREETING,
        "prompt": "Tell a story.",
        "providers": {"stt": ["offline"], "llm": ["offline"], "tts": ["offline"]},
        "flow": {
            "steps": {
                "ask": {"prompt": "Which table?", "digits": {"then": "story", "most": 2}},
                "story": {"prompt": " ".join(["This is for table {spoken_digits}.", *story])},
            },
            "common": {"bye": {**bye, "key": "9"}},
        },
    }


@dataclass(frozen=True)
class Told:
    """One call: its report, its record, and both sides as heard at the handset, 8 kHz."""

    report: Mapping[str, Any]
    record: Mapping[str, Any]
    caller: NDArray[np.int16]
    agent: NDArray[np.int16]

    @classmethod
    def read(cls, report_file: Path, record: Mapping[str, Any]) -> Told:
        """Read what the simulator kept of a call."""
        with wave.open(str(report_file.parent / "handset.wav")) as recording:
            frames = np.frombuffer(recording.readframes(recording.getnframes()), np.int16)
        caller, agent = frames.reshape(-1, 2).T
        return cls(json.loads(report_file.read_text()), record, caller.copy(), agent.copy())

    @property
    def said(self) -> list[str]:
        """What the agent said, by the record."""
        text = " ".join(e["text"] for e in self.record["transcript"] if e["who"] == "agent")
        return [part.strip() for part in text.replace("?", "?|").replace(".", ".|").split("|")][:-1]

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """Where the agent was heard: pieces between pauses, in samples."""
        loud = np.flatnonzero(step_levels_dbfs(self.agent) > _AUDIBLE_DBFS)
        cuts = np.flatnonzero(np.diff(loud) * _STEP_S > _PAUSE_S)
        firsts, lasts = [0, *(cuts + 1)], [*cuts, len(loud) - 1]
        return [
            (int(loud[a]) * STEP_SAMPLES, (int(loud[b]) + 1) * STEP_SAMPLES)
            for a, b in zip(firsts, lasts, strict=True)
        ]

    @property
    def longest_gap_s(self) -> float:
        """The longest silence inside the story: after the greeting, before the caller's goodbye."""
        words = np.flatnonzero(step_levels_dbfs(self.caller) > _AUDIBLE_DBFS)
        end = int(words[0]) * STEP_SAMPLES if len(words) else len(self.agent)
        story = [span for span in self.spans[1:] if span[0] < end]
        gaps = [after[0] - before[1] for before, after in pairwise(story)]
        return max(gaps, default=0) / _RATE_HZ


@dataclass(frozen=True)
class Ends:
    """How the story's sentences end, by the sound of an undisturbed call."""

    sounds: Sequence[NDArray[np.float64]]

    @classmethod
    def of(cls, undisturbed: Told) -> Ends:
        """Take the ends from a call in which every sentence was heard once.

        Raises:
            AssertionError: the pieces heard are not greeting, opening, story and goodbye.
        """
        spans = undisturbed.spans
        assert len(spans) == len(STORY) + 3, f"{len(spans)} pieces"
        samples = int(_END_S * _RATE_HZ)
        ends = [_last_sound(undisturbed.agent, *span) for span in spans[2:-1]]
        return cls([_thin(undisturbed.agent[end - samples : end]) for end in ends])

    def times_heard(self, told: Told) -> list[int]:
        """How often each sentence's end was heard in a call."""
        heard = _thin(told.agent)
        size = 1 << (len(heard) + len(self.sounds[0])).bit_length()
        spectrum = np.fft.rfft(heard, size)
        return [_count(heard, spectrum, size, sound) for sound in self.sounds]


def _last_sound(pcm: NDArray[np.int16], begin: int, end: int) -> int:
    """Where a sentence ends that fades away: its last sample that is more than breath."""
    return begin + int(np.flatnonzero(np.abs(pcm[begin:end]) >= _SOUND)[-1]) + 1


def _thin(pcm: NDArray[np.int16]) -> NDArray[np.float64]:
    """Halve the rate: what tells words apart is below 2 kHz."""
    return np.asarray(pcm[: len(pcm) // 2 * 2].reshape(-1, 2).mean(axis=1), np.float64)


def _count(
    heard: NDArray[np.float64], spectrum: NDArray[np.complex128], size: int, sound: NDArray[Any]
) -> int:
    """How often a sound is there, to its end: one that breaks off before it is like it too."""
    match = np.fft.irfft(spectrum * np.conj(np.fft.rfft(sound, size)), size)[: len(heard)]
    energy = np.concatenate([[0.0], np.cumsum(heard**2)])
    ahead = np.minimum(np.arange(len(heard)) + len(sound), len(heard))
    power = np.sqrt(np.maximum(energy[ahead] - energy[: len(heard)], 1.0) * np.sum(sound**2))
    likeness = match / power
    places = np.flatnonzero(likeness > _ALIKE)
    copies = np.split(places, np.flatnonzero(np.diff(places) > len(sound) // 2) + 1)
    begins = [int(copy[np.argmax(likeness[copy])]) for copy in copies if len(copy)]
    return sum(_is_whole(heard[begin : begin + len(sound)], sound) for begin in begins)


def _is_whole(heard: NDArray[np.float64], sound: NDArray[np.float64]) -> bool:
    """Whether each 20 ms at the end of a sound is there: none was cut off or left out."""
    if len(heard) < len(sound):
        return False
    block = int(_BLOCK_S * _RATE_HZ / 2)
    last = len(sound) // block * block // 2
    found, wanted = (one[-last:].reshape(-1, block) for one in (heard, sound))
    return bool(np.all(np.sum(found**2, axis=1) > _LEAST * np.sum(wanted**2, axis=1)))
