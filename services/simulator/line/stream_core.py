"""PURE. One media socket as Vobiz speaks it: what is sent, and what commands do.

The edge hands in steps of the line and texts from the application and performs the actions that
come back. Audio goes straight into the line's playback queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from services.simulator.calls.chance import Chance
from services.simulator.calls.knobs import Knobs
from services.simulator.calls.timeline import Moment, Timeline
from services.simulator.calls.verbs import StreamPlan
from services.simulator.line.decoder import PlayDecoder, UnplayableAudio
from services.simulator.line.line import Line, LineStep
from services.simulator.line.media import MediaEncoder
from services.simulator.line.pacing import ArrivalPacing
from services.simulator.line.playback import PlaybackQueue
from shared.protocol.call import CallId, StreamId
from shared.protocol.errors import MalformedMessage
from shared.protocol.telephony import (
    Checkpoint,
    ClearAudio,
    ClearedAudio,
    Dtmf,
    Media,
    MediaFormat,
    PlayAudio,
    PlayedStream,
    Start,
    Stop,
    StopStream,
    UnknownEvent,
    parse_command,
    serialize_inbound,
)

MAX_COMMAND_CHARS = 16_000_000
"""Vobiz documents no limit, and whole utterances in one message have been played."""


@dataclass(frozen=True, slots=True)
class SendText:
    """Write this to the socket, perhaps a little later."""

    text: str
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Callback:
    """POST a stream status webhook."""

    event: str
    fields: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class EndStream:
    """The application asked for the end of the stream."""


Action = SendText | Callback | EndStream


@dataclass(frozen=True, slots=True)
class StreamIdentity:
    """What a `start` says, and when the stream began (epoch milliseconds)."""

    call_id: str
    stream_id: str
    account_id: str
    from_number: str
    to_number: str
    began_ms: int


class StreamCore:
    """The state of one socket; a reconnected stream gets a new one and an empty queue."""

    def __init__(
        self,
        identity: StreamIdentity,
        plan: StreamPlan,
        line: Line,
        knobs: Knobs,
        rng: Chance,
        timeline: Timeline,
    ) -> None:
        self.pacing = ArrivalPacing()
        self.ignored_commands = 0
        self._identity = identity
        self._stream_id = StreamId(identity.stream_id)
        self._plan = plan
        self._line = line
        self._knobs = knobs
        self._rng = rng
        self._timeline = timeline
        self._decoder = PlayDecoder()
        self._encoder = MediaEncoder(plan, is_big_endian=knobs.is_l16_big_endian)
        self._sequence = 0
        self._chunk = 0
        self._frames_before_start = 0
        self._elapsed_ms = 0
        self._ack_due_s = float("-inf")
        self._queue = PlaybackQueue(acks_empty_checkpoint=knobs.acks_empty_checkpoint)
        line.replace_playback(self._queue)

    @property
    def longest_queue(self) -> int:
        """The most samples that ever waited to be played."""
        return self._queue.longest_samples

    def open(self, now_s: float, *, sends_start: bool) -> list[Action]:
        """Return what is sent first; `sends_start` is False on a reconnect of mode B."""
        if not sends_start:
            self._sequence = 1
            return []
        self._frames_before_start = self._knobs.media_before_start
        return [] if self._frames_before_start else [self._start(now_s)]

    def on_step(self, step: LineStep, now_s: float) -> list[Action]:
        """Return what 20 ms of the line send: media, reached checkpoints, keys."""
        actions: list[Action] = []
        if step.said is not None:
            actions += self._media(step)
        for name in step.checkpoints:
            actions += self._played(name, now_s)
        if step.digit and self._knobs.sends_dtmf_events:
            timestamp_ms = self._identity.began_ms + self._elapsed_ms
            actions.append(self._send(Dtmf(step.digit, self._stream_id, timestamp_ms)))
        if not self._queue and (tail := self._decoder.flush()):
            self._queue.push(tail)
        if self._frames_before_start and self._chunk >= self._frames_before_start:
            self._frames_before_start = 0
            actions.append(self._start(now_s))
        return actions

    def on_text(self, text: str, now_s: float) -> list[Action]:
        """Return what a command leads to; one that is no command is ignored and counted."""
        try:
            command = parse_command(text, max_chars=MAX_COMMAND_CHARS)
        except MalformedMessage as exc:
            return self._ignore(str(exc), now_s)
        if not self._plan.is_bidirectional:
            return self._ignore("the stream is one-way", now_s)
        if command.stream_id is None and self._knobs.needs_stream_id:
            return self._ignore("no streamId", now_s)
        if command.stream_id not in (None, self._stream_id):
            return self._ignore("unknown streamId", now_s)
        match command:
            case PlayAudio():
                return self._play(command, now_s)
            case ClearAudio():
                return self._clear(now_s)
            case Checkpoint():
                return self._checkpoint(command.name, now_s)
            case StopStream():
                self._line.clear()
                self._timeline.add(Moment.STOP, now_s)
                return [EndStream()]
            case _:
                assert_never(command)

    def stop_event(self) -> SendText:
        """Return the `stop` that only some accounts send when the call is over."""
        identity = self._identity
        stop = Stop(CallId(identity.call_id), self._stream_id, "call_ended")
        return self._send(stop)

    def _play(self, command: PlayAudio, now_s: float) -> list[Action]:
        try:
            audio = self._decoder.decode(command)
        except UnplayableAudio as exc:
            return self._ignore(str(exc), now_s)
        if not self.pacing.frames:
            self._timeline.add(Moment.FIRST_PLAY_AUDIO, now_s)
        if not self._queue:
            self._timeline.add(Moment.AUDIO_BEGINS, now_s)
        is_begun = bool(self._queue) or self._line.is_agent_heard
        is_within = is_begun and not self._queue.is_complete
        self.pacing.on_audio(now_s, len(self._queue), is_within=is_within)
        if now_s < self._ack_due_s and self._knobs.loses_audio_before_ack:
            audio = audio[: self._rng.randrange(len(audio) + 1)]
        self._queue.push(audio)
        return []

    def _clear(self, now_s: float) -> list[Action]:
        self._decoder.reset()
        dropped = self._line.clear()
        after_s = self._rng.uniform(self._knobs.clear_ack_min_s, self._knobs.clear_ack_max_s)
        self._ack_due_s = now_s + after_s
        self._timeline.add(
            Moment.CLEAR,
            now_s,
            dropped_ms=dropped.samples / 8,
            void_checkpoints=list(dropped.checkpoints),
        )
        ack = ClearedAudio(self._stream_id, self._next_sequence())
        return [self._send(ack, after_s), Callback("ClearedAudio", after_s=after_s)]

    def _checkpoint(self, name: str, now_s: float) -> list[Action]:
        self._queue.push(self._decoder.flush())
        self._timeline.add(Moment.CHECKPOINT, now_s, name=name)
        return self._played(name, now_s) if self._queue.checkpoint(name) else []

    def _played(self, name: str, now_s: float) -> list[Action]:
        self._timeline.add(Moment.PLAYED, now_s, name=name)
        played = self._send(PlayedStream(name, self._stream_id))
        return [played, Callback("PlayedStream", {"Name": name})]

    def _ignore(self, why: str, now_s: float) -> list[Action]:
        self.ignored_commands += 1
        self._timeline.add(Moment.COMMAND_IGNORED, now_s, why=why)
        if self._knobs.reports_bad_commands and self.ignored_commands == 1:
            return [self._send(UnknownEvent("incorrectPayload"))]
        return []

    def _media(self, step: LineStep) -> list[Action]:
        actions: list[Action] = []
        is_gap = self._knobs.has_comfort_noise_gaps and step.is_quiet
        timestamp_ms = self._identity.began_ms + self._elapsed_ms
        self._elapsed_ms += 20
        for track, payload in self._encoder.encode(step):
            if is_gap:
                continue
            self._chunk += track == self._plan.tracks[0]
            media = Media(
                payload, self._stream_id, timestamp_ms, self._chunk, self._next_sequence(), track
            )
            actions.append(self._send(media))
        return actions

    def _start(self, now_s: float) -> SendText:
        identity = self._identity
        self._timeline.add(Moment.START_SENT, now_s, stream_id=identity.stream_id)
        return self._send(
            Start(
                call_id=CallId(identity.call_id),
                stream_id=self._stream_id,
                account_id=identity.account_id,
                media_format=MediaFormat(self._plan.content_type, self._plan.sample_rate_hz),
                tracks=self._plan.tracks,
                sequence_number=self._next_sequence(),
                from_number=identity.from_number,
                to_number=identity.to_number,
            )
        )

    def _next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence - 1

    def _send(
        self,
        message: Start | Media | PlayedStream | ClearedAudio | Dtmf | Stop | UnknownEvent,
        after_s: float = 0.0,
    ) -> SendText:
        return SendText(serialize_inbound(message, shape=self._knobs.shape), after_s)
