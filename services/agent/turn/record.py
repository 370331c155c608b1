"""PURE. What was said in a call, as it was really heard: for the brain and for the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.agent.providers.base import Message


class Conversed:
    """The history that the brain reads and the transcript that is kept, written together.

    A transcript's entry has `who` (caller or agent), `text` as heard, and `at_ms` from the first
    media until its first sound. Of the caller `is_understood`; of the agent `is_interrupted`,
    `heard_ms` (how much of it was heard) and, where the turn passed every stage, `latency_ms`: the
    milliseconds by stage until its first audio, `total` being their sum.
    """

    def __init__(self) -> None:
        self.history: list[Message] = []
        self.transcript: list[dict[str, Any]] = []

    def caller(self, text: str, at_ms: int, *, is_understood: bool) -> None:
        """Add a turn of the caller; one without words is in the transcript alone."""
        if text:
            self.history.append(Message("caller", text))
        self.transcript.append(
            {"who": "caller", "text": text, "at_ms": at_ms, "is_understood": is_understood}
        )

    def take_back_caller(self) -> tuple[str, int] | None:
        """Remove the caller's words if they are the last thing said: they go on, unanswered.

        Returns:
            the words and when they began; None where something came after them.
        """
        if not self.history or not self.transcript:
            return None
        message, entry = self.history[-1], self.transcript[-1]
        if message.role != "caller" or entry["who"] != "caller" or entry["text"] != message.text:
            return None
        self.history.pop()
        self.transcript.pop()
        return message.text, int(entry["at_ms"])

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
        self.history.append(
            Message("agent", text, is_interrupted=is_interrupted, heard_s=round(heard_s, 3))
        )
        entry: dict[str, Any] = {
            "who": "agent",
            "text": text,
            "at_ms": at_ms,
            "is_interrupted": is_interrupted,
            "heard_ms": round(heard_s * 1000),
        }
        if latency_ms:
            entry["latency_ms"] = dict(latency_ms)
        self.transcript.append(entry)
