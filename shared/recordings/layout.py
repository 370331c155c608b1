"""PURE. Where things of a recording lie in the store.

    open/<call>/<epoch>-<number>.block   a second or so of a call, as a worker wrote it
    calls/<call>/audio.ulaw              all of it: mu-law, 8 kHz, caller and agent in turn
    calls/<call>/peaks.bin               the loudest of each 20 ms: the caller's, then the agent's
    calls/<call>/index.json              see index.py; written last: what has one is complete
    calls/<call>/vobiz.mp3, vobiz.wav    Vobiz's own recording, where it was asked for one
    calls/<call>/vobiz.json              see vobiz_copy.py; written after the file
    days/<day>/<began, ms>.<call>        empty; the list, by the day (UTC) the call began
    expiry/<hour>/<at, s>.<call>         empty; what is to be removed, and from when on

Blocks become `calls/` when the call is over, and are removed then. Names sort by time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.protocol.call import CallId

OPEN, CALLS, DAYS, EXPIRY = "open", "calls", "days", "expiry"
_CALL = re.compile(r"[A-Za-z0-9_-]{1,128}")
_BLOCK = re.compile(r"(\d{6})-(\d{6})\.block")
_MOST_MS = 10**13


def is_recordable(call_id: str) -> bool:
    """Whether a call's id can be a name in the store."""
    return _CALL.fullmatch(call_id) is not None


def open_folder(call_id: CallId) -> str:
    """Where a call's blocks are."""
    return f"{OPEN}/{call_id}/"


def block_path(call_id: CallId, epoch: int, number: int) -> str:
    """One block: the epoch of the link that the worker has, and its number there from 0 on."""
    return f"{open_folder(call_id)}{epoch:06}-{number:06}.block"


def is_block(path: str) -> bool:
    """Whether a name is a block's."""
    return _BLOCK.fullmatch(path.rpartition("/")[2]) is not None


def audio_path(call_id: CallId) -> str:
    """The whole audio."""
    return f"{CALLS}/{call_id}/audio.ulaw"


def peaks_path(call_id: CallId) -> str:
    """Its peaks."""
    return f"{CALLS}/{call_id}/peaks.bin"


def index_path(call_id: CallId) -> str:
    """What is known of it."""
    return f"{CALLS}/{call_id}/index.json"


def copy_path(call_id: CallId) -> str:
    """What is known of Vobiz's own recording."""
    return f"{CALLS}/{call_id}/vobiz.json"


def copy_audio_path(call_id: CallId, audio_format: str) -> str:
    """Vobiz's own recording."""
    return f"{CALLS}/{call_id}/vobiz.{audio_format}"


@dataclass(frozen=True, slots=True)
class Marker:
    """An empty object whose name says something of a call: when it began, or when it expires."""

    at_ms: int
    call_id: CallId

    def day_path(self) -> str:
        """Its place in the list."""
        return f"{DAYS}/{_utc(self.at_ms):%Y-%m-%d}/{self.at_ms:013}.{self.call_id}"

    def expiry_path(self) -> str:
        """Its place among what expires."""
        return f"{EXPIRY}/{_utc(self.at_ms):%Y-%m-%dT%H}/{self.at_ms // 1000:010}.{self.call_id}"


def read_day_marker(path: str) -> Marker | None:
    """Read a name of the list; None where it is none."""
    return _read(path, 1)


def read_expiry_marker(path: str) -> Marker | None:
    """Read a name among what expires; None where it is none."""
    return _read(path, 1000)


def is_due(folder: str, now_ms: int) -> bool:
    """Whether something of an hour's folder of `expiry/` may be due."""
    return folder.rstrip("/").rpartition("/")[2] <= f"{_utc(now_ms):%Y-%m-%dT%H}"


def day_of(at_ms: int) -> str:
    """The folder of the list that a time belongs to."""
    return f"{DAYS}/{_utc(min(max(at_ms, 0), _MOST_MS - 1)):%Y-%m-%d}"


def _read(path: str, unit_ms: int) -> Marker | None:
    number, dot, call_id = path.rpartition("/")[2].partition(".")
    if not dot or not number.isascii() or not number.isdigit() or not is_recordable(call_id):
        return None
    at_ms = int(number) * unit_ms
    return Marker(at_ms, CallId(call_id)) if at_ms < _MOST_MS else None


def _utc(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
