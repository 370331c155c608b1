"""One call's recorder: notes what passes, and gives it to the writer every second or so.

What is called at each 20 ms appends to a list and does sums, no more. A recording that can't be
written, or that a bug is in, is given up for good and says why; the call does not notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import structlog

from services.agent.agents.file import AgentFile
from services.agent.recording.lanes import Cargo, Lanes
from shared.audio.format import PHONE_RATE_HZ
from shared.audio.g711 import encode_ulaw
from shared.audio.resample import Resampler
from shared.protocol.telephony import (
    L16,
    Checkpoint,
    ClearAudio,
    Media,
    MediaFormat,
    OutboundCommand,
    PlayAudio,
    StopStream,
)
from shared.protocol.worker import LinkRequest
from shared.recordings.block import Block, Facts
from shared.runtime.clock import Clock

_log = structlog.get_logger(__name__)
BUG = "bug"


class Recordings(Protocol):
    """Makes recorders."""

    def open(
        self, request: LinkRequest, file: AgentFile, kept: Mapping[str, Any] | None
    ) -> Recorder | None:
        """Return the recorder of a call; None where none is wanted.

        Args:
            request: of the call.
            file: of its agent.
            kept: what the recorder of another worker kept; None: the call begins here.
        """
        ...


class BlockWriter(Protocol):
    """Takes blocks away. Neither method waits or raises."""

    def put(self, recorder: Recorder, cargo: Cargo, *, is_last: bool) -> None:
        """Have a block written; `recorder.give_up` is called if it can't be."""
        ...

    def complete(self, recorder: Recorder) -> None:
        """The call is over: have its blocks put together, once all of them are written."""
        ...

    def on_stopped(self, reason: str) -> None:
        """A recording was given up."""
        ...


class Recorder:
    """Records one call on this worker.

    Args:
        facts: of the recording; when it began is filled in by the first stream.
        writer: takes the blocks.
        clock: the worker's.
        block_s: how much one holds: what is lost when the worker is.
        kept: what another worker's `kept` returned; None: the call begins here.
    """

    def __init__(
        self,
        facts: Facts,
        writer: BlockWriter,
        clock: Clock,
        *,
        block_s: float,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        self.facts = facts
        self.stopped = self.told = ""
        self._writer = writer
        self._clock = clock
        self._block_s = block_s
        self._begun = False
        self._given_s: float | None = None
        self._numbers = 0
        self._wide: _WideAudio | None = None
        self._is_over = False
        self._lanes = self._restored(kept) if kept is not None else Lanes()

    def _restored(self, kept: Mapping[str, Any]) -> Lanes:
        self.stopped = str(kept.get("stopped", ""))
        self._is_over = bool(self.stopped)
        zero_unix_s = kept.get("zero_unix_s")
        if zero_unix_s is None:
            return Lanes()
        self._begun = True
        self.facts = replace(self.facts, zero_unix_s=float(zero_unix_s))
        ago_s = max(0.0, self._clock.wall().timestamp() - self.facts.zero_unix_s)
        return Lanes(kept["lanes"], zero_s=self._clock.now_s() - ago_s)

    # --- what passes -------------------------------------------------------------------------

    def on_stream(
        self, stream_id: str | None, media_format: MediaFormat | None, now_s: float
    ) -> None:
        """A stream begins, in a format; None: the one we asked for."""
        try:
            is_wide = media_format is not None and media_format.content_type == L16
            self._wide = _WideAudio(media_format) if is_wide and media_format else None
            if not self._begun:
                self._begun = True
                self.facts = replace(
                    self.facts, zero_unix_s=round(self._clock.wall().timestamp(), 3)
                )
            self._lanes.begin(stream_id, now_s)
        except Exception:  # noqa: BLE001 - a bug here is not to end the call
            self._on_bug()

    def on_media(self, media: Media, now_s: float) -> None:
        """20 ms of the caller have come."""
        if self._is_over:
            return
        try:
            ulaw = media.payload if self._wide is None else self._wide.to_ulaw(media.payload)
            self._lanes.hear(ulaw, media.timestamp_ms, now_s)
        except Exception:  # noqa: BLE001 - a bug here is not to end the call
            self._on_bug()

    def on_written(self, commands: Iterable[OutboundCommand], now_s: float) -> None:
        """Commands were written to the caller's stream."""
        if self._is_over:
            return
        try:
            for command in commands:
                if isinstance(command, PlayAudio):
                    self._lanes.speak(command.payload, now_s)
                elif isinstance(command, Checkpoint):
                    self._lanes.mark(command.name, now_s)
                elif isinstance(command, ClearAudio | StopStream):
                    self._lanes.clear(now_s)
        except Exception:  # noqa: BLE001 - a bug here is not to end the call
            self._on_bug()

    def on_played(self, name: str) -> None:
        """A checkpoint has come back."""
        try:
            self._lanes.on_played(name)
        except Exception:  # noqa: BLE001 - a bug here is not to end the call
            self._on_bug()

    def on_cleared(self) -> None:
        """The network has cleared what was queued."""
        try:
            self._lanes.on_cleared()
        except Exception:  # noqa: BLE001 - a bug here is not to end the call
            self._on_bug()

    def _on_bug(self) -> None:
        _log.exception("recording_crashed", call_id=self.facts.call_id)
        self.give_up(BUG)

    # --- blocks ------------------------------------------------------------------------------

    def flush_if_due(self, now_s: float) -> None:
        """Give what there is to the writer, if it is enough for a block."""
        if self._given_s is None:
            self._given_s = now_s
        elif now_s - self._given_s >= self._block_s and not self._is_over:
            self._given_s = now_s
            self._give(is_last=False)

    def _give(self, *, is_last: bool) -> None:
        try:
            cargo = self._lanes.take()
            if cargo or is_last:
                self._writer.put(self, cargo, is_last=is_last)
        except Exception:  # noqa: BLE001 - a bug here is not to end the call
            self._on_bug()

    def close(self, *, is_call_over: bool) -> None:
        """Write what there is still; the call is over, or goes on elsewhere. Twice is once."""
        if self._is_over:
            return
        try:
            if is_call_over:
                self._lanes.finish(self._clock.now_s())
            self._give(is_last=True)
        except Exception:  # noqa: BLE001 - a bug here is not to keep the call from ending
            self._on_bug()
        self._is_over = True

    def complete(self) -> None:
        """The call is over, and it was ours to the end: have the recording put together."""
        self._writer.complete(self)

    def give_up(self, reason: str) -> None:
        """Record no more of this call."""
        if not self.stopped:
            self.stopped = reason
            self._writer.on_stopped(reason)
            _log.warning("recording_stopped", call_id=self.facts.call_id, reason=reason)
        self._is_over = True
        self._lanes = Lanes(self._lanes.kept())  # lets go of what nobody wants any more

    def block(self, cargo: Cargo, *, is_last: bool) -> Block:
        """Make the next block; called by the writer, in the order of the cargo."""
        number, self._numbers = self._numbers, self._numbers + 1
        return Block(
            facts=self.facts,
            number=number,
            caller=cargo.caller_pieces(),
            agent=cargo.agent_pieces(),
            runs=cargo.runs,
            cuts=tuple(cargo.cuts),
            is_last=is_last,
        )

    # --- the record --------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """Return what the call's record says of its recording.

        Blocks may wait still: what stops it later is not in it, and differs from `told`.
        """
        self.told = self.stopped
        said: dict[str, Any] = {"duration_ms": self._lanes.samples * 1000 // PHONE_RATE_HZ}
        return said | ({"stopped": self.stopped} if self.stopped else {})

    def kept(self) -> dict[str, Any]:
        """Return what another worker needs to go on, ready for JSON."""
        return {
            "zero_unix_s": self.facts.zero_unix_s if self._begun else None,
            "stopped": self.stopped,
            "lanes": self._lanes.kept(),
        }


class _WideAudio:
    """Audio of another kind than ours, made into ours: of servers that were asked for it."""

    def __init__(self, media_format: MediaFormat) -> None:
        rate_hz = media_format.sample_rate_hz
        self._resampler = (
            None if rate_hz == PHONE_RATE_HZ else Resampler(rate_hz, PHONE_RATE_HZ, "live")
        )

    def to_ulaw(self, payload: bytes) -> bytes:
        pcm = np.frombuffer(payload[: len(payload) // 2 * 2], dtype="<i2").astype(np.int16)
        return encode_ulaw(pcm if self._resampler is None else self._resampler.push(pcm))
