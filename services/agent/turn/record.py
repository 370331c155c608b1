"""PURE. What was said in a call, as it was really heard: for the brain and for the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from services.agent.providers.base import Message
from services.agent.turn.packed import Packed


class Conversed:
    """The transcript that is kept, and the history that the brain reads, which follows from it.

    A transcript's entry has `who` (caller or agent), `text` as heard, and `at_ms` from the first
    media until its first sound. Of the caller `is_understood`; of the agent `is_interrupted`,
    `heard_ms` (how much of it was heard) and, where the turn passed every stage, `latency_ms`: the
    milliseconds by stage until its first audio, `total` being their sum.
    """

    def __init__(self) -> None:
        self._entries: Packed[dict[str, Any]] = Packed()

    @property
    def transcript(self) -> list[dict[str, Any]]:
        """All entries in order, made anew: to change them changes nothing here."""
        return [dict(entry) for entry in self._entries]

    @property
    def history(self) -> list[Message]:
        """What was said in words, for the brain."""
        return history_of(self._entries)

    def __len__(self) -> int:
        """Return how many entries the transcript has."""
        return len(self._entries)

    def restore(self, transcript: Iterable[Mapping[str, Any]]) -> None:
        """Go on from what another worker's `transcript` was."""
        self._entries = Packed(dict(entry) for entry in transcript)

    def caller(self, text: str, at_ms: int, *, is_understood: bool) -> None:
        """Add a turn of the caller; one without words is in the transcript alone."""
        self._entries.append(
            {"who": "caller", "text": text, "at_ms": at_ms, "is_understood": is_understood}
        )

    def take_back_caller(self) -> tuple[str, int] | None:
        """Remove the caller's words if they are the last thing said: they go on, unanswered.

        Returns:
            the words and when they began; None where something came after them.
        """
        newest = self._entries.newest
        if newest is None or newest["who"] != "caller" or not newest["text"]:
            return None
        self._entries.pop()
        return str(newest["text"]), int(newest["at_ms"])

    def agent(
        self,
        text: str,
        at_ms: int,
        *,
        heard_s: float,
        is_interrupted: bool,
        latency_ms: Mapping[str, float],
    ) -> None:
        """Add what was heard of an answer; nothing where nothing was."""
        if not text:
            return
        entry: dict[str, Any] = {
            "who": "agent",
            "text": text,
            "at_ms": at_ms,
            "is_interrupted": is_interrupted,
            "heard_ms": round(heard_s * 1000),
        }
        if latency_ms:
            entry["latency_ms"] = dict(latency_ms)
        self._entries.append(entry)


def history_of(transcript: Iterable[Mapping[str, Any]]) -> list[Message]:
    """Return what a transcript tells the brain: all but turns without words."""
    return [_message(entry) for entry in transcript if entry["text"]]


def _message(entry: Mapping[str, Any]) -> Message:
    if entry["who"] == "caller":
        return Message("caller", entry["text"])
    heard_s = entry.get("heard_ms", 0) / 1000
    return Message("agent", entry["text"], is_interrupted=entry["is_interrupted"], heard_s=heard_s)
