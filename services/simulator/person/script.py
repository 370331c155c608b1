"""Builds what a scripted person says from WAV files and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.simulator.person.caller import CallerScript, KeyPresses, Utterance
from services.simulator.person.voice import Speaker
from shared.audio.level import level_dbfs
from shared.audio.resample import resample
from shared.audio.wav import read_wav

PHONE_RATE_HZ = 8000
_KEYS = frozenset("0123456789*#ABCDw")


class BadScript(Exception):
    """What a person is asked to do can't be done; the text says why."""


@dataclass(frozen=True, slots=True)
class SayText:
    """A text, spoken by the offline voice."""

    text: str


@dataclass(frozen=True, slots=True)
class SayWav:
    """A recording, of any rate."""

    path: Path


@dataclass(frozen=True, slots=True)
class Press:
    """Keys, in turn."""

    digits: str


Turn = SayText | SayWav | Press


async def build_script(
    turns: Sequence[Turn],
    speaker: Speaker,
    *,
    barge_ins: Sequence[float | None] = (),
    pressed_at: Sequence[KeyPresses] = (),
    level_dbfs: float | None = None,
    limits: CallerScript | None = None,
) -> CallerScript:
    """Return a script whose audio is ready to be sent.

    Args:
        turns: what is said and pressed, in order.
        speaker: says the texts.
        barge_ins: for each thing said, in order, seconds after the agent began to speak, or None
            to wait one's turn; those left over wait their turn.
        pressed_at: keys with a time of their own.
        level_dbfs: brings everything said to this level; None leaves levels alone.
        limits: silences and limits; the defaults of CallerScript otherwise.

    Raises:
        BadScript: a file that can't be read, or keys that are none.
        SpeechError: there is a text and no engine to say it.
    """
    base = limits or CallerScript()
    said = 0
    built: list[Utterance | KeyPresses] = []
    for turn in turns:
        if isinstance(turn, Press):
            built.append(KeyPresses(checked_keys(turn.digits)))
            continue
        pcm = await _audio(turn, speaker)
        if level_dbfs is not None:
            pcm = _at_level(pcm, level_dbfs)
        label = turn.text if isinstance(turn, SayText) else turn.path.name
        barge_in_s = barge_ins[said] if said < len(barge_ins) else None
        built.append(Utterance(pcm, label, barge_in_s=barge_in_s))
        said += 1
    return CallerScript(
        turns=(*built, *pressed_at),
        turn_silence_s=base.turn_silence_s,
        patience_s=base.patience_s,
        linger_s=base.linger_s,
        hangup_at_s=base.hangup_at_s,
        max_duration_s=base.max_duration_s,
    )


def checked_keys(digits: str) -> str:
    """Return keys as given.

    Raises:
        BadScript: a character that no telephone has.
    """
    if not digits or not set(digits) <= _KEYS:
        raise BadScript(f"{digits!r} are not keys of a telephone")
    return digits


async def _audio(turn: SayText | SayWav, speaker: Speaker) -> NDArray[np.int16]:
    if isinstance(turn, SayText):
        return await speaker.say(turn.text)
    try:
        pcm, rate_hz = read_wav(turn.path)
    except (OSError, ValueError) as exc:
        raise BadScript(f"{turn.path}: {exc}") from exc
    if not len(pcm):
        raise BadScript(f"{turn.path}: no samples")
    return resample(pcm, rate_hz, PHONE_RATE_HZ)


def _at_level(pcm: NDArray[np.int16], wanted_dbfs: float) -> NDArray[np.int16]:
    gain = 10 ** ((wanted_dbfs - level_dbfs(pcm)) / 20)
    louder: NDArray[np.int16] = np.clip(np.rint(pcm * gain), -32768, 32767).astype(np.int16)
    return louder
