"""PURE. What happened in a call and when, in seconds since its answer webhook was sent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Moment(StrEnum):
    """The kinds of events a report lists."""

    WEBHOOK = "webhook"
    ANSWERED = "answered"
    VERB = "verb"
    SOCKET_OPEN = "socket_open"
    SOCKET_FAILED = "socket_failed"
    SOCKET_CLOSED = "socket_closed"
    START_SENT = "start_sent"
    FIRST_PLAY_AUDIO = "first_play_audio"
    AUDIO_BEGINS = "audio_begins"  # a playAudio came while nothing was queued
    CHECKPOINT = "checkpoint"
    PLAYED = "played"
    CLEAR = "clear"
    CLEARED = "cleared"
    STOP = "stop"
    COMMAND_IGNORED = "command_ignored"
    DTMF = "dtmf"
    SPEECH = "caller_speech"
    DEGRADED = "degraded"
    FAULT = "fault"
    NOTE = "note"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Happening:
    """One event; `detail` is JSON-ready."""

    at_s: float
    moment: Moment
    detail: dict[str, Any] = field(default_factory=dict)


class Timeline:
    """The events of one call in the order they were noticed.

    Args:
        max_of_a_kind: beyond it events of that kind are counted in `dropped`, not kept: an
            application that sends a checkpoint each millisecond must not fill the memory.
    """

    def __init__(self, *, max_of_a_kind: int = 2000) -> None:
        self.events: list[Happening] = []
        self.dropped = 0
        self._max_of_a_kind = max_of_a_kind
        self._kept: Counter[Moment] = Counter()

    def add(self, moment: Moment, at_s: float, **detail: Any) -> None:
        """Write down an event."""
        if self._kept[moment] >= self._max_of_a_kind:
            self.dropped += 1
            return
        self._kept[moment] += 1
        self.events.append(Happening(at_s, moment, detail))

    def of(self, moment: Moment) -> list[Happening]:
        """Return the events of one kind."""
        return [event for event in self.events if event.moment is moment]

    def first(self, moment: Moment) -> float | None:
        """Return when this first happened, in seconds, or None."""
        return next((event.at_s for event in self.events if event.moment is moment), None)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the events with times in milliseconds, oldest first."""
        return [
            {"at_ms": round(event.at_s * 1000, 1), "event": event.moment.value, **event.detail}
            for event in sorted(self.events, key=lambda event: event.at_s)
        ]
