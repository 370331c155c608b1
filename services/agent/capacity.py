"""PURE. Whether a worker takes one more call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Refusal(StrEnum):
    """Why a link is turned down before the upgrade."""

    FULL = "full"
    DRAINING = "draining"
    UNAUTHORIZED = "unauthorized"
    STALE = "stale"


@dataclass(frozen=True, slots=True)
class Load:
    """A worker's load at a moment."""

    active: int
    capacity: int
    is_draining: bool


def refuse_new_call(load: Load) -> Refusal | None:
    """Say why a new call is not taken, or None when it is."""
    if load.is_draining:
        return Refusal.DRAINING
    if load.active >= load.capacity:
        return Refusal.FULL
    return None


def refuse_attach(known_epoch: int, offered_epoch: int) -> Refusal | None:
    """Say why a link may not take over a call that is here already.

    Epochs count the attaches of a call; only a newer one may take over, so that a gateway that
    was away can't.
    """
    return Refusal.STALE if offered_epoch <= known_epoch else None
