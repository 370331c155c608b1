"""A telephone line in steps of 20 ms between a far playback queue and whoever records the call.

Every 20 ms of the caller are sent when they are over; what is queued is heard in steps, checkpoints
come back in the step that plays the last sample before them. Messages take their time both ways and
keep their order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from services.agent.recording.lanes import Cargo, Lanes
from shared.protocol.call import CallId
from shared.recordings.block import Block, Facts
from shared.recordings.timeline import Rendered, Timeline

STEP_MS = 20
FRAME = 160
SILENT = b"\xff" * FRAME
FIRST_MS = 1_800_000_000_000


def facts(epoch: int = 1, *, zero_unix_s: float = 1000.0, keep_s: float | None = None) -> Facts:
    return Facts(CallId("call-1"), epoch, f"worker-{epoch}", "default", zero_unix_s, keep_s)


def block(number: int, cargo: Cargo, *, epoch: int = 1, is_last: bool = False) -> Block:
    return Block(
        facts(epoch),
        number,
        cargo.caller_pieces(),
        cargo.agent_pieces(),
        cargo.runs,
        tuple(cargo.cuts),
        is_last=is_last,
    )


@dataclass
class PhoneLine:
    """The far end, and lanes that record it. `lost` are slots of the caller that never arrive."""

    in_ms: float = 1.0
    out_ms: float = 1.0
    ack_ms: float = 5.0
    lost: frozenset[int] = frozenset()
    lanes: Lanes = field(default_factory=Lanes)
    said: bytearray = field(default_factory=bytearray)
    heard: bytearray = field(default_factory=bytearray)
    blocks: list[Block] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now_ms = 0.0
        self.slot = 0
        self._queue = bytearray()
        self._position = 0
        self._checkpoints: deque[tuple[int, str]] = deque()
        self._inbound: deque[tuple[float, Callable[[float], None]]] = deque()
        self._acks: deque[float] = deque()
        self._outbound: deque[tuple[float, Callable[[], None]]] = deque()
        self.lanes.begin("stream-1", 0.0)

    # --- what the worker does ----------------------------------------------------------------

    def speak(self, *frames: bytes) -> None:
        for frame in frames:
            self.lanes.speak(frame, self.now_ms / 1000)
            self._outbound.append((self.now_ms + self.out_ms, partial(self._push, frame)))

    def mark(self, name: str) -> None:
        self.lanes.mark(name, self.now_ms / 1000)
        self._outbound.append((self.now_ms + self.out_ms, lambda: self._mark(name)))

    def clear(self) -> None:
        self.lanes.clear(self.now_ms / 1000)
        self._outbound.append((self.now_ms + self.out_ms, self._clear))

    def flush(self, *, is_last: bool = False) -> None:
        self.blocks.append(block(len(self.blocks), self.lanes.take(), is_last=is_last))

    def end(self) -> Rendered:
        self.lanes.finish(self.now_ms / 1000)
        self.flush(is_last=True)
        timeline = Timeline()
        for one in self.blocks:
            timeline.add(one)
        return timeline.render()

    # --- the far end -------------------------------------------------------------------------

    def _push(self, frame: bytes) -> None:
        self._queue += frame

    def _mark(self, name: str) -> None:
        at = self._position + len(self._queue)
        if self._queue:
            self._checkpoints.append((at, name))
        else:
            self._send(lambda _: self.lanes.on_played(name))

    def _clear(self) -> None:
        self._position += len(self._queue)
        self._queue.clear()
        self._checkpoints.clear()
        self._acks.append(self.now_ms + self.ack_ms)

    def _send(self, deliver: Callable[[float], None]) -> None:
        self._inbound.append((self.now_ms + self.in_ms, deliver))

    def _step(self) -> None:
        if self.slot > 0:
            spoken = bytes([1 + (self.slot - 1) % 250]) * FRAME
            self.said += spoken if self.slot - 1 not in self.lost else SILENT
            if self.slot - 1 not in self.lost:
                at_ms = FIRST_MS + (self.slot - 1) * STEP_MS
                self._send(lambda now_s: self.lanes.hear(spoken, at_ms, now_s))
        taken = bytes(self._queue[:FRAME])
        del self._queue[: len(taken)]
        self._position += len(taken)
        self.heard += taken.ljust(FRAME, b"\xff")
        while self._checkpoints and self._checkpoints[0][0] <= self._position:
            _, name = self._checkpoints.popleft()
            self._send(lambda _, name=name: self.lanes.on_played(name))  # type: ignore[misc]
        self.slot += 1

    def run(self, ms: float) -> None:
        """Let time pass."""
        until_ms = self.now_ms + ms
        while True:
            next_step = float(self.slot * STEP_MS)
            times = [next_step]
            times += [self._inbound[0][0]] if self._inbound else []
            times += [self._outbound[0][0]] if self._outbound else []
            times += [self._acks[0]] if self._acks else []
            at_ms = min(times)
            if at_ms > until_ms:
                break
            self.now_ms = at_ms
            if self._outbound and self._outbound[0][0] == at_ms:
                self._outbound.popleft()[1]()
            elif self._acks and self._acks[0] == at_ms:
                self._acks.popleft()
                self._send(lambda _: self.lanes.on_cleared())
            elif self._inbound and self._inbound[0][0] == at_ms:
                self._inbound.popleft()[1](at_ms / 1000)
            else:
                self._step()
        self.now_ms = until_ms


def starts(side: bytes) -> dict[int, int]:
    """Where each code but silence first lies in a side."""
    found: dict[int, int] = {}
    for at, code in enumerate(side):
        if code != 0xFF:
            found.setdefault(code, at)
    return found


def sides(rendered: Rendered) -> tuple[bytes, bytes]:
    """Caller and agent apart."""
    return rendered.audio[0::2], rendered.audio[1::2]
