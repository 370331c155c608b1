"""The cases: what is done at which moment of the agent's speech, and what should come of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.random import Generator

from deploy.bench.interruptions.sounds import (
    RATE_HZ,
    Pcm,
    at_level,
    click,
    cough,
    keys,
    noise,
    said,
)
from shared.audio.resample import resample
from shared.audio.wav import read_wav
from shared.speech import Voice


class Wanted(StrEnum):
    """What should come of a case."""

    COMMITTED = "committed"  # the agent stays silent and the caller has the turn
    GOES_ON = "goes_on"  # the agent was never stopped, or took up what was cut


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One sound over the agent's speech.

    Attributes:
        kind: speech, recorded, digit, cough, backchannel, click, noise, keypad or echo.
        sound: what the caller's side carries, empty for none.
        words: what a recogniser would make of it.
        at_s: when, from the first sample of the agent's speech.
        echo_db: the agent's echo on this line, None for none.
        digit: a key whose event comes on the media socket at that moment.
    """

    kind: str
    sound: Pcm
    words: str
    at_s: float
    wanted: Wanted
    noise_dbfs: float = -65.0
    echo_db: float | None = None
    digit: str = ""


_NOTHING = np.zeros(0, np.int16)
_SPOKEN = (
    "Stop.",
    "Wait a moment.",
    "No, that is not what I meant.",
    "Excuse me.",
    "How much does it cost?",
    "Can I ask you something?",
    "Hold on, please.",
    "I want to talk to somebody.",
)
_BACKCHANNELS = ("Mm-hm.", "Uh huh.", "Okay.", "Yeah.", "Right.", "Yes.", "I see.")
_SPOKEN_CASES, _BACKCHANNEL_CASES = 64, 42
_MOMENTS_S = (0.45, 0.9, 1.4, 2.1, 2.9, 3.6, 4.4, 5.3, 6.2)
_LEVELS_DBFS = (-18.0, -24.0, -30.0)
_ECHOES_DB = (-40.0, -35.0, -30.0, -25.0, -22.0)


def make_cases(voices: Sequence[Voice], recordings: Path | None, seed: int = 1) -> list[Case]:
    """Return the set; with a folder of recorded speech, its files among the interruptions."""
    rng = np.random.default_rng(seed)
    moments = _cycle(_MOMENTS_S, rng)
    levels = _cycle(_LEVELS_DBFS, rng)
    times = max(1, _SPOKEN_CASES // (len(voices) * len(_SPOKEN)))
    cases = [
        Case("speech", said(text, voice, next(levels)), text, next(moments), Wanted.COMMITTED)
        for voice in voices
        for text in _SPOKEN * times
    ]
    # The same on a line that returns the agent's own voice.
    cases += [
        Case("speech", said(text, voice, -20.0), text, next(moments), Wanted.COMMITTED, -60.0, echo)
        for voice, echo in zip(voices, (-40.0, -35.0, -30.0, -28.0, -26.0, -25.0), strict=False)
        for text in _SPOKEN[:3]
    ]
    if recordings is not None:
        cases += [
            Case("recorded", at_level(pcm, next(levels)), name, next(moments), Wanted.COMMITTED)
            for name, pcm in _recorded(recordings)
        ]
    cases += [
        Case("digit", _NOTHING, "", next(moments), Wanted.COMMITTED, digit=digit)
        for digit in "0123456789*#"
    ]
    cases += _others(voices, rng, moments)
    return cases


def _others(voices: Sequence[Voice], rng: Generator, moments: Iterator[float]) -> Iterator[Case]:
    for number in range(40):
        sound = cough(rng, float(rng.uniform(-26, -12)), bursts=1 + number % 3)
        yield Case("cough", sound, "", next(moments), Wanted.GOES_ON)
    times = max(1, _BACKCHANNEL_CASES // (len(voices) * len(_BACKCHANNELS)))
    for voice in voices:
        for text in _BACKCHANNELS * times:
            yield Case("backchannel", said(text, voice, -24.0), text, next(moments), Wanted.GOES_ON)
    for _ in range(16):
        yield Case("click", click(rng, -15.0), "", next(moments), Wanted.GOES_ON)
    for _ in range(16):
        gust = noise(rng, float(rng.uniform(0.1, 1.5)), float(rng.uniform(-45, -30)))
        yield Case("noise", gust, "", next(moments), Wanted.GOES_ON)
    for digits in ("5", "42", "0", "#", "1234", "*", "98", "7"):
        yield Case("keypad", keys(digits, -15.0), "", next(moments), Wanted.GOES_ON)
    for echo_db in _ECHOES_DB:
        for noise_dbfs in (-65.0, -55.0, -50.0):
            yield Case("echo", _NOTHING, "", 0.0, Wanted.GOES_ON, noise_dbfs, echo_db)


def _recorded(folder: Path) -> Iterator[tuple[str, Pcm]]:
    for path in sorted(folder.glob("*.wav")):
        pcm, rate_hz = read_wav(path)
        phone = resample(pcm, rate_hz, RATE_HZ)
        if 0.3 * RATE_HZ < len(phone) < 4 * RATE_HZ:
            yield path.stem.replace("-", " "), phone


def _cycle(values: Sequence[float], rng: Generator) -> Iterator[float]:
    """Yield the values for ever, each round in another order and a little off."""
    while True:
        for value in rng.permutation(values):
            yield float(value) * float(rng.uniform(0.97, 1.03))
