"""PURE. A finished sentence as phone audio: what it is known by, and how it is written down."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROCESSING = 1
"""Raised when resampling, trimming or levelling changes, so that no older audio is used."""
MOST_BYTES = 256 * 1024
"""Of one sentence that is shared: 32 s."""


@dataclass(frozen=True, slots=True)
class SpeechRecord:
    """G.711 mu-law 8 kHz, and the level of its speech."""

    ulaw: bytes
    level_dbfs: float


def voice_key(provider: str, options: Mapping[str, Any], language: str) -> str:
    """Return what tells a voice from every other: two that sound different have different keys.

    Args:
        provider: its name in agents' files.
        options: as checked, JSON-ready: model, voice, speed, address.
        language: that it speaks.
    """
    return json.dumps([provider, dict(options), language], sort_keys=True, default=str)


def speech_key(voice: str, text: str, *, is_first: bool) -> str:
    """Return the name of a sentence's audio; neither text nor options can be read from it."""
    whole = json.dumps([PROCESSING, voice, is_first, text])
    return hashlib.sha256(whole.encode()).hexdigest()[:40]


def serialize_speech(record: SpeechRecord) -> str:
    """Write a record as ASCII."""
    return f"{record.level_dbfs:.2f} {base64.b64encode(record.ulaw).decode()}"


def parse_speech(text: str) -> SpeechRecord | None:
    """Read a record; None where it is none, or larger than any that is written."""
    if len(text) > MOST_BYTES * 4 // 3 + 16:
        return None
    level, _, audio = text.partition(" ")
    try:
        level_dbfs = float(level)
        ulaw = base64.b64decode(audio.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        return None
    if not ulaw or not math.isfinite(level_dbfs) or not -100 <= level_dbfs <= 0:
        return None
    return SpeechRecord(ulaw, level_dbfs)
