"""PURE. What goes wrong with recordings.

RecordingError
├── StoreUnavailable   the store failed or did not answer in time; perhaps it will later
├── BadAddress         RECORDINGS_URL names no store; nothing will change that
└── MalformedBlock     bytes that are no block of a recording: cut short, or damaged
"""

from __future__ import annotations

from enum import StrEnum


class RecordingError(Exception):
    """Anything about recordings."""


class StoreFault(StrEnum):
    """Why the store took or gave nothing; closed, so that it can label a metric."""

    SLOW = "slow"
    NO_SPACE = "no_space"
    FAILED = "failed"


class StoreUnavailable(RecordingError):
    """The store failed or did not answer in time.

    Args:
        fault: why.
        detail: the first line of what it said; holds no secret.
    """

    def __init__(self, fault: StoreFault, detail: str = "") -> None:
        super().__init__(fault, detail)
        self.fault = fault
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.fault.value}: {self.detail}" if self.detail else self.fault.value


class BadAddress(RecordingError, ValueError):
    """The address of the store can't be used."""


class MalformedBlock(RecordingError):
    """Bytes that are no block of a recording."""
