"""PURE. What is known of a recording without its audio: its index, and its waveform."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from shared.audio.g711 import decode_ulaw
from shared.protocol.call import CallId
from shared.recordings.block import Facts
from shared.recordings.errors import RecordingError
from shared.recordings.timeline import SAMPLES_PER_MS, Part, Rendered

_VERSION = 1
_FULL_SCALE = 32124
_LEVELS = decode_ulaw(bytes(0xFF - code for code in range(128))).astype(np.float64) / _FULL_SCALE
"""By magnitude 0..127: a sample's size, 0 to 1."""


class UnreadableIndex(RecordingError):
    """An index of another version, or damaged."""


@dataclass(frozen=True, slots=True)
class RecordingIndex:
    """One recording.

    Attributes:
        call_id: of the call.
        agent: who talked.
        began_unix_s: when the caller's first audio came.
        samples: of each side, 8000 a second.
        parts: what each worker wrote.
        missing: where nothing of the caller is there, in ms.
        stopped: why it was given up before the call's end; empty: it was not.
        expires_unix_s: when it is removed; None: never by itself.
        is_complete: the call is over, and all that there will be is there.
    """

    call_id: CallId
    agent: str
    began_unix_s: float
    samples: int
    parts: tuple[Part, ...] = ()
    missing: tuple[tuple[int, int], ...] = ()
    stopped: str = ""
    expires_unix_s: float | None = None
    is_complete: bool = True

    @property
    def duration_ms(self) -> int:
        """How long it is."""
        return self.samples // SAMPLES_PER_MS

    def to_json(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        return asdict(self) | {"version": _VERSION, "duration_ms": self.duration_ms}

    def public(self) -> dict[str, Any]:
        """Return what readers of the API get."""
        return {
            "call_id": self.call_id,
            "agent": self.agent,
            "began_unix_s": self.began_unix_s,
            "duration_ms": self.duration_ms,
            "has_audio": self.samples > 0,
            "is_complete": self.is_complete,
            "stopped": self.stopped or None,
            "expires_unix_s": self.expires_unix_s,
            "parts": [asdict(part) for part in self.parts],
            "missing": [list(gap) for gap in self.missing],
        }


def index_of(rendered: Rendered, facts: Facts, *, is_complete: bool) -> RecordingIndex:
    """Return the index of a recording just put together."""
    began_s, keep_s = facts.zero_unix_s, facts.keep_s
    ended_s = began_s + rendered.samples / (SAMPLES_PER_MS * 1000)
    return RecordingIndex(
        call_id=facts.call_id,
        agent=facts.agent,
        began_unix_s=round(began_s, 3),
        samples=rendered.samples,
        parts=rendered.parts,
        missing=rendered.missing,
        stopped=rendered.stopped,
        expires_unix_s=None if keep_s is None else round(ended_s + keep_s, 3),
        is_complete=is_complete,
    )


def write_index(index: RecordingIndex) -> bytes:
    """Return an index as JSON."""
    return json.dumps(index.to_json(), separators=(",", ":")).encode()


def read_index(data: bytes) -> RecordingIndex:
    """Read what `write_index` wrote.

    Raises:
        UnreadableIndex: of another version, or damaged.
    """
    try:
        return _read(json.loads(data))
    except (ValueError, KeyError, TypeError) as exc:
        raise UnreadableIndex(str(exc)) from exc


def _read(data: Mapping[str, Any]) -> RecordingIndex:
    if data["version"] != _VERSION:
        raise ValueError(f"version {data['version']}")
    expires = data["expires_unix_s"]
    return RecordingIndex(
        call_id=CallId(str(data["call_id"])),
        agent=str(data["agent"]),
        began_unix_s=float(data["began_unix_s"]),
        samples=int(data["samples"]),
        parts=tuple(Part(**part) for part in data["parts"]),
        missing=tuple((int(a), int(b)) for a, b in data["missing"]),
        stopped=str(data["stopped"]),
        expires_unix_s=None if expires is None else float(expires),
        is_complete=bool(data["is_complete"]),
    )


def waveform(peaks: bytes, bins: int) -> tuple[list[float], list[float]]:
    """Return each side's peaks, 0 to 1, in so many bins of equal length.

    Args:
        peaks: as the store has them: the caller's, then the agent's, 20 ms each.
        bins: at least 1; a short call's peaks come several times.
    """
    sides = np.frombuffer(peaks, dtype=np.uint8).reshape(2, -1)
    count = sides.shape[1]
    if count == 0:
        return [0.0] * bins, [0.0] * bins
    starts = np.arange(bins) * count // bins
    caller, agent = (_bins(_LEVELS[side], starts) for side in sides)
    return caller, agent


def _bins(levels: np.ndarray[Any, np.dtype[np.float64]], starts: Any) -> list[float]:
    # Where a bin is shorter than a peak, reduceat gives the one peak at its start.
    return [round(float(level), 4) for level in np.maximum.reduceat(levels, starts)]
