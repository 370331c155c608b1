"""Tells whoever watches a call what happens in it, while somebody does.

Who watches says so by a `watch` event now and then; without one nothing is told, and a call costs
nothing more. What was said is told by its place in the transcript, so that a second watcher, for
whom all of it is told again, disturbs no first one. Told at most once: the record has the truth.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from services.agent.turn.events import Measure, Stage
from shared.bus.base import BusUnavailable, LiveFeed
from shared.protocol.call import CallId
from shared.protocol.live import WATCH_S
from shared.runtime.clock import Clock
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
_QUEUE = 500
_MOST_WATCHED = 1000
_TURN_STAGES = (
    Stage.ENDPOINTING,
    Stage.TRANSCRIPTION,
    Stage.BRAIN,
    Stage.SYNTHESIS,
    Stage.PLATFORM,
    Stage.TOTAL,
)


@dataclass(frozen=True, slots=True)
class Moment:
    """How a call stands now: what of it is looked at for its watchers."""

    state: str
    transcript: Sequence[Mapping[str, Any]]
    being_said: str


class Watches:
    """Which calls somebody watches: a call may come here, or come back, after that was said.

    Args:
        clock: the worker's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_s: dict[CallId, float] = {}

    def note(self, call_id: CallId) -> None:
        """Somebody watches a call for the next WATCH_S; the oldest of too many is forgotten."""
        self._until_s.pop(call_id, None)
        self._until_s[call_id] = self._clock.now_s() + WATCH_S
        if len(self._until_s) > _MOST_WATCHED:
            del self._until_s[next(iter(self._until_s))]

    def has(self, call_id: CallId) -> bool:
        """Whether somebody watches it now."""
        return self._clock.now_s() < self._until_s.get(call_id, float("-inf"))


class LiveView:
    """One call's.

    Args:
        call_id: of the call.
        feed: takes what is told; None: there is nobody to tell.
        owner: of the call's tasks.
        clock: the worker's.
        at_ms: returns the time since the call's first media.
        on_lost: told of each thing that could not be told.
    """

    def __init__(
        self,
        call_id: CallId,
        feed: LiveFeed | None,
        owner: TaskOwner,
        clock: Clock,
        *,
        at_ms: Callable[[], int],
        on_lost: Callable[[], None],
    ) -> None:
        self._call_id = call_id
        self._feed = feed
        self._owner = owner
        self._clock = clock
        self._at_ms = at_ms
        self._on_lost = on_lost
        self._until_s = float("-inf")
        self._queue: asyncio.Queue[str] = asyncio.Queue(_QUEUE)
        self._writer: asyncio.Task[None] | None = None
        self._told: list[Mapping[str, Any]] = []
        self._state = self._being_said = ""
        self._stages: dict[str, float] = {}

    @property
    def is_watched(self) -> bool:
        """Whether anything is told at the moment."""
        return self._clock.now_s() < self._until_s

    def watch(self) -> None:
        """Somebody watches, from now on or still: tell all that was said, and what follows."""
        if self._feed is None:
            return
        self._until_s = self._clock.now_s() + WATCH_S
        self._told, self._state, self._being_said = [], "", ""
        if self._writer is None:
            self._writer = self._owner.start(self._write(self._feed), name="live")

    # --- what happens ------------------------------------------------------------------------

    def look(self, now: Moment) -> None:
        """Tell what has changed since the last look; to be called while somebody watches."""
        self._tell_said(now.transcript)
        if now.being_said != self._being_said:
            self._being_said = now.being_said
            if now.being_said:
                self.tell("agent", text=now.being_said)
        if now.state != self._state:
            self._state = now.state
            self.tell("state", state=now.state)

    def _tell_said(self, transcript: Sequence[Mapping[str, Any]]) -> None:
        # Words are taken back when the caller goes on: all from the first difference on is new.
        same = 0
        while same < min(len(transcript), len(self._told)) and transcript[same] == self._told[same]:
            same += 1
        if same < len(self._told):
            self.tell("take_back", n=same)
        for place, entry in enumerate(transcript[same:], start=same):
            self._tell_entry(place, entry)
        self._told = list(transcript)

    def _tell_entry(self, place: int, entry: Mapping[str, Any]) -> None:
        at_ms, text = int(entry["at_ms"]), str(entry["text"])
        if entry["who"] == "caller":
            is_understood = bool(entry.get("is_understood", True))
            self.tell("caller", at_ms, n=place, text=text, is_understood=is_understood)
        else:
            kind = "interrupted" if entry.get("is_interrupted") else "said"
            self.tell(kind, at_ms, n=place, text=text)

    def on_partial(self, text: str) -> None:
        """The recogniser has heard so much of the caller's utterance."""
        if self.is_watched and text:
            self.tell("caller_partial", text=text)

    def on_measure(self, measure: Measure) -> None:
        """A time was measured; a turn's stages are told together."""
        if not self.is_watched:
            return
        took_ms = round(measure.seconds * 1000, 1)
        if measure.stage is Stage.BARGE_IN:
            self.tell("barge_in", ms=took_ms)
        elif measure.stage in _TURN_STAGES:
            self._stages[measure.stage.value] = took_ms
            if measure.stage is Stage.TOTAL:
                stages, self._stages = self._stages, {}
                self.tell("latency", **stages)

    def tell(self, kind: str, at_ms: int | None = None, /, **more: Any) -> None:
        """Tell one thing; nothing while nobody watches.

        Args:
            kind: one of `shared/protocol/live.py`.
            at_ms: since the call's first media; None: now.
            more: of the kind.
        """
        if not self.is_watched:
            return
        at_ms = self._at_ms() if at_ms is None else at_ms
        text = json.dumps({"kind": kind, "at_ms": at_ms, **more}, separators=(",", ":"))
        try:
            self._queue.put_nowait(text)
        except asyncio.QueueFull:
            self._on_lost()

    async def _write(self, feed: LiveFeed) -> None:
        while True:
            text = await self._queue.get()
            try:
                await feed.publish(self._call_id, text)
            except BusUnavailable:
                self._on_lost()
