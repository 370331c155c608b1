"""What comes in from one call's caller: the messages of the media socket, each dealt with at once.

But for the audio, which waits to be scored with that of other calls (wire/scorer.py): whatever
happens next to the call finds that done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from services.agent.call.belongings import Belongings
from services.agent.call.consumed import Consumed
from services.agent.call.performer import Performer
from services.agent.turn import events as ev
from services.agent.wire.stream_gate import StreamGate, Verdict
from shared.protocol.call import EndReason, StreamId
from shared.protocol.errors import MalformedMessage, OversizedMessage
from shared.protocol.telephony import (
    ClearedAudio,
    Dtmf,
    Media,
    MediaFormat,
    PlayedStream,
    Start,
    Stop,
    UnknownEvent,
    parse_inbound,
)


class Incoming:
    """One call's.

    Args:
        own: the call's.
        performer: is told what happens.
        consumed: what another worker's `consumed.kept` returned; None: the call begins here.
    """

    def __init__(
        self, own: Belongings, performer: Performer, consumed: Mapping[str, Any] | None
    ) -> None:
        self.consumed = Consumed(consumed)
        self._gate = StreamGate()
        self._has_begun = False
        self._performer = performer
        self._audio = performer.audio
        self._errands = performer.errands
        self._playout = own.session.playout
        self._line = own.line
        self._witnesses = own.witnesses
        self._recorder = own.witnesses.recorder
        self._guard = own.guard
        self._scorer = own.parts.scorer
        self._clock = own.parts.clock
        self._messages = own.parts.metrics.messages

    # --- the link ----------------------------------------------------------------------------

    def go_on(self) -> None:
        """The call has begun already, with another worker."""
        self._has_begun = True

    def on_link(self) -> None:
        """Another link has taken the call over."""
        if self._has_begun:
            self._gate.on_link()
            self.consumed.on_link()

    # --- messages ----------------------------------------------------------------------------

    def on_text(self, text: str) -> None:
        """Take one message of the media socket; what can't be read is counted and skipped."""
        # From here to the scorer fifty times a second of every call: nothing that could be spared.
        if self._performer.is_over:
            return
        try:
            message = parse_inbound(text)
        except OversizedMessage:
            self._messages.labels("oversized").inc()
            return
        except MalformedMessage:
            self._messages.labels("malformed").inc()
            return
        if isinstance(message, Media):
            self._on_media(message)
        else:
            with self._guard:
                self._on_message(message)

    def on_late_text(self, text: str, at_s: float) -> None:
        """Take a message that came at `at_s`, and had to wait."""
        self._performer.at_s = at_s
        self.on_text(text)
        self._performer.at_s = None

    def _on_message(
        self, message: Start | PlayedStream | ClearedAudio | Dtmf | Stop | UnknownEvent
    ) -> None:
        performer = self._performer
        match message:
            case Start():
                performer.settle()
                if not self._on_start(message):
                    return
            case PlayedStream():
                self._witnesses.on_played(message.name)
                performer.on_event(ev.CheckpointPlayed(message.name))
            case ClearedAudio():
                self._witnesses.on_cleared()
                performer.on_event(ev.AudioCleared())
            case Dtmf() if self.consumed.is_old_key():
                return
            case Dtmf():
                self.consumed.on_key()
                self._witnesses.on_keys(message.digit)
                performer.on_event(ev.DigitPressed(message.digit))
            case Stop():
                if not self._errands.is_away:
                    performer.over(EndReason.CALLER_HUNG_UP)
            case UnknownEvent():
                self._messages.labels("unknown").inc()
                return
            case _:
                assert_never(message)
        self._messages.labels(type(message).__name__.lower()).inc()

    def _on_start(self, start: Start) -> bool:
        now_s = self._performer.now_s()
        if self._gate.on_start(start.call_id, start.stream_id, now_s) is Verdict.FOREIGN:
            self._messages.labels("foreign").inc()
            return False
        self._performer.stream_call_id = start.call_id
        self._begin_stream(start.stream_id, start.media_format)
        return True

    def _begin_stream(self, stream_id: StreamId | None, media_format: MediaFormat | None) -> None:
        performer = self._performer
        self._audio.begin(media_format)
        if self._recorder is not None:
            self._recorder.on_stream(stream_id, media_format, performer.now_s())
        is_first, self._has_begun = not self._has_begun, True
        self._witnesses.account.on_stream()
        self._errands.on_back()
        performer.on_event(ev.StreamStarted(stream_id))
        if is_first and self._line.request.metadata.get("machine") == "true":
            performer.on_event(ev.MachineJudged(is_machine=True))
        performer.play_due()

    # --- audio -------------------------------------------------------------------------------

    def _on_media(self, media: Media) -> None:
        performer = self._performer
        now_s = self._clock.now_s() if performer.at_s is None else performer.at_s
        verdict = self._gate.on_media(media.stream_id, now_s)
        if verdict is Verdict.FOREIGN:
            self._messages.labels("foreign").inc()
            return
        if verdict is Verdict.BEGINS:
            with self._guard:
                performer.settle()
                self._begin_stream(media.stream_id, None)
            if performer.is_over:
                return
        try:
            self._take_media(media, now_s)
        except Exception as exc:  # noqa: BLE001 - as the guard, which costs more than all of this
            self._guard.on_bug(exc)

    def _take_media(self, media: Media, now_s: float) -> None:
        if self._playout.stream_id is None and self._gate.stream_id is not None:
            self._playout.name_stream(self._gate.stream_id)
        if self._recorder is not None:
            self._recorder.on_media(media, now_s)
        if self.consumed.is_old(media, now_s):
            return
        self._audio.take(media, now_s)
        if self._performer.is_catching_up:
            self._performer.settle()
        else:
            self._scorer.ask(self._audio)
