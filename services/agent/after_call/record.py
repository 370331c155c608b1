"""PURE. Makes the lasting record of a call out of what happened in it.

The session's transcript is what was said. Beside it a call collects what was done: tools, keys,
what providers will charge for, how long the caller waited. `RecordBuilder.fields` puts it all
together, with what the owner does not want kept left out, and bounded: a transcript that is too
long loses its middle and says so.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Final, TypeAlias, assert_never, cast

from services.agent.after_call.redact import Redaction
from services.agent.agents.file import Data
from services.agent.providers.base import ToolUsed, Usage
from services.agent.turn.events import Measure, Stage, Tally
from services.agent.turn.packed import Packed
from shared.protocol.call import CallSummary, CutEntry, KeysEntry, ToolEntry, UsageEntry

MAX_ENTRIES = 4000
MAX_BYTES = 512 * 1024
MAX_TEXT_CHARS = 8000
MAX_USAGES = 64
MAX_MARKS = 1000
LEAST_RETENTION_S = 60.0
"""The hang-up webhook and the gateway's fallback still need a record that is not to be kept."""

_Latency: TypeAlias = tuple[int, dict[str, float]]
_MORE = " […]"
_KEYS_PAUSE_MS = 5000
_SAME_TURN_MS = 250
_TURN_STAGES: Final = frozenset(
    {
        Stage.ENDPOINTING,
        Stage.TRANSCRIPTION,
        Stage.BRAIN,
        Stage.SYNTHESIS,
        Stage.PLATFORM,
        Stage.TOTAL,
    }
)


def retention_s(data: Data) -> float | None:
    """Return how long a record is kept by an agent's file; None leaves it to the store."""
    return None if data.keep_s is None else max(LEAST_RETENTION_S, data.keep_s)


class RecordBuilder:
    """Collects what a call did besides talking. All `at_ms` count as the transcript's do.

    Args:
        redaction: what may be kept.
    """

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._events: list[dict[str, Any]] = []
        self._lost = 0
        self._tools = 0
        self._usage: dict[tuple[str, str, str], float] = {}
        self._latencies: Packed[_Latency] = Packed()
        self._tallies: Counter[Tally] = Counter()
        self._marks: Packed[dict[str, Any]] = Packed()

    def on_mark(self, kind: str, at_ms: int, **more: str | float) -> None:
        """Take something that happened on the wire or to the call; beyond the bound it is lost."""
        if len(self._marks) < MAX_MARKS:
            self._marks.append({"kind": kind, "at_ms": at_ms, **more})

    def on_note(self, piece: ToolUsed | Usage, at_ms: int) -> None:
        """Take a tool that was used, which ended at `at_ms`, or what a provider will charge."""
        match piece:
            case ToolUsed():
                self._tools += 1
                took_ms = round(piece.seconds * 1000, 1)
                tool: ToolEntry = {
                    "kind": "tool",
                    "who": "tool",
                    "text": "",
                    "at_ms": max(0, at_ms - round(took_ms)),
                    "name": piece.name,
                    "arguments": dict(piece.arguments),
                    "outcome": piece.outcome,
                    "result": piece.result,
                    "took_ms": took_ms,
                }
                self._add(cast("dict[str, Any]", tool))
            case Usage():
                key = (piece.kind, piece.provider, piece.unit)
                if key in self._usage or len(self._usage) < MAX_USAGES:
                    self._usage[key] = self._usage.get(key, 0.0) + piece.amount
            case _:
                assert_never(piece)

    def on_keys(self, keys: str, at_ms: int, *, by_agent: bool = False) -> None:
        """Take keys the caller pressed, or that were pressed for the agent."""
        entry: KeysEntry = {
            "kind": "keys",
            "who": "agent" if by_agent else "caller",
            "text": keys,
            "at_ms": at_ms,
            "count": len(keys),
        }
        self._add(cast("dict[str, Any]", entry))

    def on_measure(self, measure: Measure, at_ms: int) -> None:
        """Take a measured stage of the turn whose reply is first heard at `at_ms`."""
        if measure.stage not in _TURN_STAGES:
            return
        newest = self._latencies.newest
        if newest is None or newest[0] != at_ms:
            if len(self._latencies) >= MAX_ENTRIES:
                return
            newest = at_ms, {}
            self._latencies.append(newest)
        newest[1][measure.stage.value] = round(measure.seconds * 1000, 1)

    def kept(self) -> dict[str, Any]:
        """Return all of it, ready for JSON; what the owner does not want kept is in it still."""
        return {
            "events": list(self._events),
            "lost": self._lost,
            "tools": self._tools,
            "usage": [[*key, amount] for key, amount in self._usage.items()],
            "latencies": [[at_ms, dict(stages)] for at_ms, stages in self._latencies],
            "tallies": {tally.value: count for tally, count in self._tallies.items()},
            "marks": list(self._marks),
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Go on from what `kept` returned."""
        self._events = [dict(entry) for entry in kept.get("events", ())]
        self._lost = int(kept.get("lost", 0))
        self._tools = int(kept.get("tools", 0))
        self._usage = {
            (kind, provider, unit): float(amount)
            for kind, provider, unit, amount in kept.get("usage", ())
        }
        self._latencies = Packed(
            (int(at_ms), dict(stages)) for at_ms, stages in kept.get("latencies", ())
        )
        tallies = kept.get("tallies", {})
        self._tallies = Counter({Tally(name): int(count) for name, count in tallies.items()})
        self._marks = Packed(dict(mark) for mark in kept.get("marks", ()))

    def on_count(self, tally: Tally) -> None:
        """Count something."""
        self._tallies[tally] += 1

    def fields(self, transcript: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the record's `transcript`, `usage`, `summary` and `marks`, ready for JSON.

        Args:
            transcript: the session's, not changed.
        """
        spoken = [dict(entry) for entry in transcript]
        self._attach_latencies(spoken)
        entries = sorted([*spoken, *self._events], key=lambda entry: entry["at_ms"])
        kept = self._redaction.entries(join_keys(entries))
        return {
            "transcript": cut_middle([clip(entry) for entry in kept], already_lost=self._lost),
            "usage": self.usage(),
            "summary": dict(self._summary(spoken)),
            "marks": list(self._marks),
        }

    def usage(self) -> list[UsageEntry]:
        """Return what providers will charge for, summed."""
        return [
            {"kind": kind, "provider": provider, "unit": unit, "amount": round(amount, 3)}
            for (kind, provider, unit), amount in sorted(self._usage.items())
        ]

    def _add(self, entry: dict[str, Any]) -> None:
        self._events.append(clip(entry))
        if len(self._events) > 2 * MAX_ENTRIES:
            half = MAX_ENTRIES // 2
            self._lost += len(self._events) - 2 * half
            self._events[half:-half] = []

    def _attach_latencies(self, spoken: Sequence[dict[str, Any]]) -> None:
        """Give each measured turn to the agent's entry that began with it."""
        latencies = list(self._latencies)
        times = [at_ms for at_ms, _ in latencies]
        for entry in spoken:
            if entry.get("who") != "agent" or "kind" in entry or "latency_ms" in entry:
                continue
            place = bisect_left(times, entry["at_ms"])
            near = [n for n in (place - 1, place) if 0 <= n < len(times)]
            best = min(near, key=lambda n: abs(times[n] - entry["at_ms"]), default=None)
            if best is not None and abs(times[best] - entry["at_ms"]) <= _SAME_TURN_MS:
                entry["latency_ms"] = dict(latencies[best][1])

    def _summary(self, spoken: Sequence[Mapping[str, Any]]) -> CallSummary:
        tallies = self._tallies
        summary: CallSummary = {
            "turns": tallies[Tally.TURN_UNDERSTOOD] + tallies[Tally.TURN_NOT_UNDERSTOOD],
            "interruptions": tallies[Tally.INTERRUPTION_COMMITTED],
            "resumed": tallies[Tally.INTERRUPTION_RESUMED],
            "tools": self._tools,
        }
        totals = [
            float(entry["latency_ms"]["total"])
            for entry in spoken
            if "total" in (entry.get("latency_ms") or {})
        ]
        if totals:
            summary["turn_latency_median_ms"] = round(median(totals), 1)
            summary["turn_latency_max_ms"] = round(max(totals), 1)
        if (caller_s := _talk_s(spoken, "caller")) is not None:
            summary["caller_talk_s"] = caller_s
        if (agent_s := _talk_s(spoken, "agent")) is not None:
            summary["agent_talk_s"] = agent_s
        return summary


def join_keys(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make one entry of keys that were pressed one after another with nothing between.

    Args:
        entries: in order of time; not changed.
    """
    joined: list[dict[str, Any]] = []
    last_ms = 0
    for entry in entries:
        before = joined[-1] if joined else {}
        if (
            entry.get("kind") == "keys" == before.get("kind")
            and entry["who"] == before["who"]
            and entry["at_ms"] - last_ms <= _KEYS_PAUSE_MS
        ):
            joined[-1] = before | {
                "text": before["text"] + entry["text"],
                "count": before["count"] + entry["count"],
            }
        else:
            joined.append(entry)
        last_ms = entry["at_ms"]
    return joined


def clip(entry: dict[str, Any]) -> dict[str, Any]:
    """Shorten what is too long in one entry: its text, a tool's result and arguments."""
    clipped = dict(entry)
    for name in ("text", "result"):
        if len(str(clipped.get(name) or "")) > MAX_TEXT_CHARS:
            clipped[name] = str(clipped[name])[:MAX_TEXT_CHARS] + _MORE
    if clipped.get("arguments"):
        arguments = json.dumps(clipped["arguments"], ensure_ascii=False, default=str)
        is_long = len(arguments) > MAX_TEXT_CHARS
        clipped["arguments"] = (
            {"cut": arguments[:MAX_TEXT_CHARS] + _MORE} if is_long else json.loads(arguments)
        )
    return clipped


def cut_middle(entries: Sequence[dict[str, Any]], *, already_lost: int = 0) -> list[dict[str, Any]]:
    """Return a transcript of a bounded size: beginning and end, and a mark for what was between.

    Args:
        entries: in order, each of a bounded size itself; not changed.
        already_lost: entries that are missing from the middle before.

    Returns:
        at most MAX_ENTRIES entries and MAX_BYTES of JSON, the mark not counted.
    """
    head = _fitting(entries)
    if len(head) == len(entries) and not already_lost:
        return list(entries)
    if len(head) == len(entries):
        half = len(entries) // 2
        head, tail = list(entries[:half]), list(entries[half:])
    else:
        head = _fitting(entries, share=0.5)
        tail = _fitting(entries[len(head) :][::-1], share=0.5)[::-1]
    lost = len(entries) - len(head) - len(tail) + already_lost
    at_ms = head[-1]["at_ms"] if head else 0
    mark: CutEntry = {
        "kind": "cut",
        "who": "platform",
        "text": "",
        "at_ms": at_ms,
        "entries": lost,
    }
    return [*head, cast("dict[str, Any]", mark), *tail]


def _fitting(entries: Sequence[dict[str, Any]], *, share: float = 1.0) -> list[dict[str, Any]]:
    """Return as many of the first entries as a share of the bounds allows."""
    left = MAX_BYTES * share
    for number, entry in enumerate(entries):
        left -= len(json.dumps(entry, default=str))
        if left < 0 or number >= MAX_ENTRIES * share:
            return list(entries[:number])
    return list(entries)


def _talk_s(spoken: Sequence[Mapping[str, Any]], who: str) -> float | None:
    """Return how long one side spoke, or None where the ends of its speech are not known."""
    spans = [
        max(0, entry["until_ms"] - entry["at_ms"])
        for entry in spoken
        if entry.get("who") == who and "kind" not in entry and entry.get("until_ms") is not None
    ]
    return round(sum(spans) / 1000, 1) if spans else None
