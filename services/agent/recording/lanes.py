"""PURE. Where a call's audio lies in time: the caller's as it came, the agent's as it was heard.

Places are samples from the call's first caller audio on. The clock is the caller's own audio: it
comes without a break, at the rate at which the network plays ours, and in one order with what the
network tells of its playback. So a late loop or a slow link moves nothing.

* A caller's piece has its place by its sender's times; a new stream by them too where they are the
  wall's, else where the wait for it ended, by our clock.
* What is sent to the caller while 20 ms of the caller are on their way is heard from the next 20 ms
  on, if nothing is playing; else behind that. Audio that plays without a break is a run.
* A checkpoint that comes back with 20 ms of the caller was reached in the 20 ms that followed them.
  That tells where its run lies, later than it was sent by however long it was under way; the least
  such time of the call is taken for runs that no checkpoint tells of, those before it included.
* What is cleared was heard to the end of the 20 ms in hand when the network was told to clear it:
  that is between what we had heard of the caller when we said so, and when it said that it had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.audio.format import FRAME_S, FRAME_SAMPLES, PHONE_RATE_HZ
from shared.recordings.block import AgentPiece, CallerPiece, RunPlace

_FRAME_MS = 20
_SAMPLES_PER_MS = PHONE_RATE_HZ // 1000
_LATE_S = 0.06
"""A caller's audio that is later than this is taken for missing, and our clock for it."""
_GONE_S = 2.0
"""A caller whose audio ended so long before the call was not there to hear its end."""
_LEAST_SLACK = 2 * PHONE_RATE_HZ
"""How far the sender's times may be ahead of ours."""
_OLDEST = 15 * PHONE_RATE_HZ
"""No gateway sends older pieces again: what seems to be one is of a stream that counts anew."""
_MOST_UNDER_WAY = PHONE_RATE_HZ
"""A checkpoint that seems to have been later than this tells of something else."""
_MOST_CLEARING = 12 * FRAME_SAMPLES
"""Likewise for a clear; a third of it where the way to the caller is known."""
_MOST_MARKS = 64
_EPOCH_MS = 100_000_000_000
"""Times above it are the wall's, in milliseconds."""


@dataclass(slots=True)
class _Run:
    """`began` is `start` as if nothing were ever under way."""

    number: int
    began: int
    start: int
    sent: int = 0
    is_settled: bool = False

    @property
    def end(self) -> int:
        return self.start + self.sent


@dataclass(frozen=True, slots=True)
class _Mark:
    """A checkpoint: its run, and how much of that lies before it."""

    run: _Run
    offset: int


@dataclass(slots=True)
class Cargo:
    """What has come since the last one; its audio is in pieces still."""

    caller: list[tuple[int, list[bytes]]] = field(default_factory=list)
    agent: list[tuple[int, int, list[bytes]]] = field(default_factory=list)
    runs: dict[int, RunPlace] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.runs or self.cuts or self.agent or self.caller)

    def caller_pieces(self) -> tuple[CallerPiece, ...]:
        """The caller's pieces, put together."""
        return tuple(CallerPiece(place, b"".join(parts)) for place, parts in self.caller)

    def agent_pieces(self) -> tuple[AgentPiece, ...]:
        """The agent's pieces, put together."""
        return tuple(AgentPiece(run, at, b"".join(parts)) for run, at, parts in self.agent)


class Lanes:
    """One call's, as one worker sees it.

    Args:
        kept: what another worker's `kept` returned; None: the call begins here.
        zero_s: when place 0 was, where `kept` tells of another worker's.
    """

    def __init__(self, kept: Mapping[str, Any] | None = None, *, zero_s: float = 0.0) -> None:
        kept = kept or {}
        self._stream_id: str | None = kept.get("stream_id")
        self._anchor_ms: int | None = kept.get("anchor_ms")
        self._anchor = int(kept.get("anchor", 0))
        self._end = int(kept.get("end", 0))
        # When the caller's newest audio came; None before the first stream.
        self._heard_s = zero_s + self._end / PHONE_RATE_HZ if kept else None
        self._is_new = False
        self._next_ms: int | None = kept.get("next_ms")
        self._left_ms: int | None = None
        self._clearing: tuple[_Run, int] | None = None
        self._under_way: int | None = kept.get("under_way")
        self._guessed: dict[int, RunPlace] = {}
        self._told: set[int] = set()  # runs whose end the network told
        self._run: _Run | None = None
        self._runs = 0
        self._marks: dict[str, _Mark] = {}
        self._cargo = Cargo()
        self._caller: list[bytes] | None = None
        self._agent: list[bytes] | None = None

    # --- the caller --------------------------------------------------------------------------

    def begin(self, stream_id: str | None, now_s: float) -> None:
        """A stream begins, or the same one goes on by another link.

        Nothing of what was queued on the one before is heard any more.
        """
        if self._heard_s is None:
            self._heard_s = now_s
        elif stream_id is None or stream_id != self._stream_id:
            self._cut(self._end + FRAME_SAMPLES)
            self._is_new, self._anchor_ms, self._left_ms = True, None, self._next_ms
        self._stream_id = stream_id
        self._caller = self._next_ms = None

    def hear(self, ulaw: bytes, at_ms: int | None, now_s: float) -> None:
        """Take a piece of the caller.

        Args:
            ulaw: the audio.
            at_ms: its place by its sender's times; None: it has none, and follows the last one.
            now_s: when it came.
        """
        if at_ms == self._next_ms and self._caller is not None and len(ulaw) == FRAME_SAMPLES:
            # At each 20 ms of each call.
            self._caller.append(ulaw)
            self._end += FRAME_SAMPLES
            self._heard_s = now_s
            if at_ms is not None:
                self._next_ms = at_ms + _FRAME_MS
            return
        self._hear_apart(ulaw, at_ms, now_s)

    def _hear_apart(self, ulaw: bytes, at_ms: int | None, now_s: float) -> None:
        """Take a piece that does not follow the one before, or may not."""
        place = self._place(at_ms, now_s)
        if self._caller is None or place != self._end:
            self._caller = []
            self._cargo.caller.append((place, self._caller))
        self._caller.append(ulaw)
        if place + len(ulaw) < self._end:
            self._caller = None  # an old one: what follows it has its own place
            return
        self._end = place + len(ulaw)
        self._heard_s = now_s
        self._next_ms = None if at_ms is None else at_ms + len(ulaw) // _SAMPLES_PER_MS

    def _place(self, at_ms: int | None, now_s: float) -> int:
        if self._is_new:
            self._is_new, self._end = False, self._resumed(at_ms, now_s)
        if at_ms is None:
            return self._end
        if self._anchor_ms is None:
            self._anchor_ms, self._anchor = at_ms, self._end
            return self._end
        place = self._anchor + (at_ms - self._anchor_ms) * _SAMPLES_PER_MS
        if abs(place - self._end) < FRAME_SAMPLES:
            return self._end  # times that are rounded, or kept by another clock than the audio's
        latest = self._at(now_s) + _LEAST_SLACK
        if place < 0 or not self._end - _OLDEST <= place <= latest:
            # Times of something else: the wait tells where it belongs.
            self._anchor_ms, self._anchor = at_ms, self._arrived(now_s)
            return self._anchor
        return place

    def _resumed(self, at_ms: int | None, now_s: float) -> int:
        """Where a new stream goes on."""
        arrived = self._arrived(now_s)
        if at_ms is None or self._left_ms is None or min(at_ms, self._left_ms) < _EPOCH_MS:
            return arrived
        told = self._end + round((at_ms - self._left_ms) / _FRAME_MS) * FRAME_SAMPLES
        is_likely = told >= self._end and abs(told - arrived) <= _LEAST_SLACK
        return told if is_likely else arrived

    def _arrived(self, now_s: float) -> int:
        """Where 20 ms that come now belong, going by our clock: they ended when they came."""
        waited_s = now_s - self._heard_s if self._heard_s is not None else 0.0
        return self._end + max(0, round(waited_s / FRAME_S) - 1) * FRAME_SAMPLES

    def _at(self, now_s: float) -> int:
        """Where the caller's audio should be by now, going by our clock where it is late."""
        late_s = now_s - self._heard_s if self._heard_s is not None else 0.0
        return self._end if late_s < _LATE_S else self._end + int(late_s / FRAME_S) * FRAME_SAMPLES

    # --- the agent ---------------------------------------------------------------------------

    def speak(self, ulaw: bytes, now_s: float) -> None:
        """Take what was sent to the caller."""
        run = self._run
        if run is None or self._agent is None or run.end < self._next_heard(now_s):
            self._speak_apart(ulaw, now_s)
            return
        self._agent.append(ulaw)
        run.sent += len(ulaw)

    def _speak_apart(self, ulaw: bytes, now_s: float) -> None:
        """Take what begins a run, or a piece of one."""
        run, heard_at = self._run, self._next_heard(now_s)
        if run is None or run.end < heard_at:
            run = self._run = _Run(self._runs, heard_at - (self._under_way or 0), heard_at)
            self._runs += 1
            self._cargo.runs[run.number] = RunPlace(heard_at)
        self._agent = [ulaw]
        self._cargo.agent.append((run.number, run.sent, self._agent))
        run.sent += len(ulaw)

    def _next_heard(self, now_s: float) -> int:
        """Where what is sent now is heard at the earliest."""
        return self._at(now_s) + FRAME_SAMPLES + (self._under_way or 0)

    def mark(self, name: str, now_s: float) -> None:
        """A checkpoint was sent."""
        run = self._run
        if run is None or run.end < self._next_heard(now_s):
            return  # all before it was heard already: when it comes back says nothing
        if len(self._marks) == _MOST_MARKS:
            del self._marks[next(iter(self._marks))]
        self._marks[name] = _Mark(run, run.sent)

    def on_played(self, name: str) -> None:
        """A checkpoint came back."""
        mark = self._marks.pop(name, None)
        if mark is None:
            return
        run, start = mark.run, self._end + FRAME_SAMPLES - mark.offset
        under_way = start - run.began
        if not 0 <= under_way <= _MOST_UNDER_WAY or (run.is_settled and start >= run.start):
            return
        if self._under_way is None:
            self._move_guessed(under_way)
        known = self._under_way
        self._under_way = under_way if known is None else min(known, under_way)
        run.is_settled, run.start = True, start
        self._cargo.runs[run.number] = RunPlace(start)

    def _move_guessed(self, by: int) -> None:
        """Move the runs that nothing was known of: theirs was under way as long as this one."""
        for number, place in self._guessed.items():
            until = place.until
            if until is not None and number not in self._told:
                until += by
            self._cargo.runs[number] = RunPlace(place.start + by, until)
        self._guessed.clear()
        self._told.clear()

    def clear(self, now_s: float) -> None:
        """All that is queued is to be cleared, or the stream was stopped."""
        run, place = self._run, self._next_heard(now_s)
        self._cut(place)
        self._clearing = None if run is None else (run, place)

    def on_cleared(self) -> None:
        """The network has cleared what was queued: within the 20 ms before this at the earliest."""
        clearing, self._clearing = self._clearing, None
        if clearing is None:
            return
        run, place = clearing
        heard_to = self._end  # of the 20 ms that follow it something may have been heard as well
        # What took longer was late by itself, not on its way: then it tells nothing.
        most = _MOST_CLEARING if self._under_way is None else _MOST_CLEARING // 3
        if place < heard_to <= place + most:
            self._told.add(run.number)
            self._note_cut(run, heard_to)

    def _cut(self, place: int) -> None:
        run, self._run, self._agent, self._clearing = self._run, None, None, None
        self._marks.clear()
        self._cargo.cuts.append(place)
        if run is not None:
            self._note_cut(run, place)

    def _note_cut(self, run: _Run, place: int) -> None:
        cut = RunPlace(run.start, max(place, run.start) if run.end > place else None)
        self._cargo.runs[run.number] = cut
        if self._under_way is None and len(self._guessed) < _MOST_MARKS:
            self._guessed[run.number] = cut

    def finish(self, now_s: float) -> None:
        """The call is over. Where the caller's audio had ended long before, so had the call."""
        late_s = now_s - self._heard_s if self._heard_s is not None else 0.0
        self._cut(self._next_heard(now_s) if late_s < _GONE_S else self._end + FRAME_SAMPLES)

    # --- taking down -------------------------------------------------------------------------

    def take(self) -> Cargo:
        """Return what has come since the last time, and begin anew."""
        cargo, self._cargo = self._cargo, Cargo()
        self._caller = self._agent = None
        return cargo

    @property
    def samples(self) -> int:
        """How long the caller's side is."""
        return self._end

    def kept(self) -> dict[str, Any]:
        """Return what another worker needs to go on at the right places, ready for JSON."""
        return {
            "stream_id": self._stream_id,
            "anchor_ms": self._anchor_ms,
            "anchor": self._anchor,
            "end": self._end,
            "next_ms": self._next_ms,
            "under_way": self._under_way,
        }
