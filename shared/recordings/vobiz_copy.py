"""PURE. The network's own recording of a call, kept beside ours: what is known of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

FORMATS = {"mp3": "audio/mpeg", "wav": "audio/wav"}


@dataclass(frozen=True, slots=True)
class VobizCopy:
    """One file.

    Attributes:
        format: mp3 or wav.
        size_bytes: of the file.
        duration_ms: as Vobiz told it; None: it did not.
        recording_id: Vobiz's.
        end_reason: why it ended, in Vobiz's words; may be empty.
        fetched_unix_s: when it was brought here.
    """

    format: str
    size_bytes: int
    duration_ms: int | None
    recording_id: str
    end_reason: str
    fetched_unix_s: float

    @property
    def content_type(self) -> str:
        """For whoever is given the file."""
        return FORMATS[self.format]

    def to_bytes(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    def public(self) -> dict[str, Any]:
        """Return what readers of the API get."""
        return asdict(self)


def read_copy(data: bytes) -> VobizCopy | None:
    """Read what `to_bytes` wrote; None for anything else."""
    try:
        found = json.loads(data)
        duration_ms = found["duration_ms"]
        copy = VobizCopy(
            format=str(found["format"]),
            size_bytes=int(found["size_bytes"]),
            duration_ms=None if duration_ms is None else int(duration_ms),
            recording_id=str(found["recording_id"]),
            end_reason=str(found["end_reason"]),
            fetched_unix_s=float(found["fetched_unix_s"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
    return copy if copy.format in FORMATS else None
