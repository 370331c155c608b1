"""One call on a worker: hands events to the session and performs what it asks for.

Everything that comes from the wire is dealt with inside the callback that read it. Providers run
as owned tasks (one lane for the brain, one for the voice, one reader of the transcriber) and come
back as events. An exception that nobody expected ends this call alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import assert_never

import structlog

from services.agent import events as ev
from services.agent.caller_audio import CallerAudio
from services.agent.lane import Lane
from services.agent.link import Link
from services.agent.phone_speech import PhoneSpeech
from services.agent.playout import Playout
from services.agent.providers import base
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.providers.errors import ProviderError
from services.agent.session import Session
from services.agent.stream_gate import StreamGate, Verdict
from services.agent.turn.rules import TurnTaking
from services.agent.turn.vad import SpeechDetector
from shared.bus.base import BusUnavailable, CallStore
from shared.metrics.catalogue import AgentMetrics
from shared.protocol.call import CallChange, EndClass, EndReason, StreamId, WorkerId
from shared.protocol.errors import MalformedMessage, OversizedMessage
from shared.protocol.telephony import (
    ClearedAudio,
    Dtmf,
    Media,
    PlayedStream,
    Start,
    Stop,
    StopStream,
    UnknownEvent,
    parse_inbound,
    serialize_command,
)
from shared.protocol.worker import LinkClose, LinkRequest
from shared.runtime.clock import Clock
from shared.runtime.tasks import TaskOwner, closing

_log = structlog.get_logger(__name__)
_RECORD_S = 2.0
_CONFIRMED = ReplyConfirmation(is_given=True)
_INTERNAL_ERROR = 1011


@dataclass(frozen=True, slots=True)
class Parts:
    """What every call of a worker shares."""

    worker_id: WorkerId
    activity: base.VoiceActivity
    transcriber: base.Transcriber
    brain: base.Brain
    speech: PhoneSpeech
    make_detector: Callable[[], SpeechDetector]
    store: CallStore
    metrics: AgentMetrics
    clock: Clock
    turn_taking: TurnTaking
    lead_s: float = 0.3
    provider_timeout_s: float = 10.0
    send_timeout_s: float = 5.0
    reattach_grace_s: float = 5.0


_TALLIES = {
    ev.Tally.INTERRUPTION_COMMITTED: ("interruptions", "committed"),
    ev.Tally.INTERRUPTION_RESUMED: ("interruptions", "resumed"),
    ev.Tally.TURN_UNDERSTOOD: ("turns", "understood"),
    ev.Tally.TURN_NOT_UNDERSTOOD: ("turns", "not_understood"),
    ev.Tally.TURN_SILENCE: ("turns", "silence"),
    ev.Tally.TURN_DTMF: ("turns", "dtmf"),
}
_END_CLASS = {
    EndReason.AGENT_HUNG_UP: EndClass.SUCCESS,
    EndReason.TRANSFERRED: EndClass.SUCCESS,
    EndReason.TIME_LIMIT: EndClass.PLATFORM,
    EndReason.PROVIDER_FAILED: EndClass.PROVIDER,
    EndReason.AGENT_FAILED: EndClass.PLATFORM,
}
"""The ends that are this worker's doing; of all others the hang-up webhook knows better."""


class Call:
    """A call and its link.

    Args:
        request: what the gateway told of the call.
        parts: shared with the worker's other calls.
        on_over: called once, when nothing of the call is left.
    """

    def __init__(
        self, request: LinkRequest, parts: Parts, *, on_over: Callable[[Call], None]
    ) -> None:
        self.request = request
        self.epoch = request.epoch
        self._parts = parts
        self._metrics = parts.metrics
        self._on_over = on_over
        self._link: Link | None = None
        self._log = _log.bind(call_id=request.call_id)
        now_s = parts.clock.now_s()
        self._session = Session(
            detector=parts.make_detector(),
            playout=Playout(lead_s=parts.lead_s),
            rules=parts.turn_taking,
            now_s=now_s,
        )
        self._opened_s = now_s
        self._owner = TaskOwner(f"call:{request.call_id}", on_failure=self._on_task_failed)
        self._brain = Lane(self._owner, "brain", on_full=self._on_lane_full)
        self._voice = Lane(self._owner, "voice", on_full=self._on_lane_full)
        self._audio = CallerAudio(parts.activity, parts.metrics)
        self._gate = StreamGate()
        facts = base.CallFacts(
            request.call_id,
            request.agent,
            request.direction,
            request.from_number,
            request.to_number,
            request.metadata,
        )
        self._conversation = parts.brain.open(facts, {})
        self._expectation = base.Expectation()
        self._ear = parts.transcriber.open(self._expectation)
        self._grace: asyncio.TimerHandle | None = None
        self._milestones: dict[str, float] = {}
        self._started_s: float | None = None
        self._is_ending = False

    # --- life --------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin: the first words are prepared before the caller's audio is there."""
        self._owner.start(self._read_transcriber(), name="transcriber")
        self._perform(self._session.begin())

    def attach(self, link: Link, epoch: int) -> None:
        """Take a link, in place of the one before."""
        before, self._link = self._link, link
        self.epoch = epoch
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
        if before is not None:
            before.close(LinkClose.SUPERSEDED)
        if self._started_s is not None:
            self._gate.on_link()

    def on_link_closed(self, link: Link, code: int) -> None:
        """The link is gone. A clean close ends the call; after a lost one it may come back."""
        if link is not self._link:
            return
        self._link = None
        if code in (1006, 1001):
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(
                self._parts.reattach_grace_s, self.over, EndReason.CARRIER_LOST
            )
            return
        self.over(EndReason.CALLER_HUNG_UP)

    def over(self, reason: EndReason) -> None:
        """The other side has ended the call."""
        self._event(ev.CallOver(reason))

    def _on_task_failed(self, _name: str, _error: BaseException) -> None:
        self._crash()

    def _on_lane_full(self) -> None:
        self._log.error("lane_full")
        self.over(EndReason.AGENT_FAILED)

    def _crash(self) -> None:
        """Give the call up after an exception nobody expected; the caller gets the fallback."""
        self._metrics.ended_by_bug.inc()
        if not self._is_ending:
            self._end(ev.End(EndReason.AGENT_FAILED, by_agent=False))

    # --- from the wire -----------------------------------------------------------------------

    def on_text(self, text: str) -> None:
        """Take one message of the media socket; what can't be read is counted and skipped."""
        try:
            message = parse_inbound(text)
        except OversizedMessage:
            self._metrics.messages.labels("oversized").inc()
            return
        except MalformedMessage:
            self._metrics.messages.labels("malformed").inc()
            return
        try:
            self._on_message(message)
        except Exception:  # noqa: BLE001 - the top of a call: one call's bug must not end another's
            self._log.exception("call_crashed")
            self._crash()

    def _on_message(
        self, message: Start | Media | PlayedStream | ClearedAudio | Dtmf | Stop | UnknownEvent
    ) -> None:
        match message:
            case Media():
                self._on_media(message)
                return
            case Start():
                if not self._on_start(message):
                    return
            case PlayedStream():
                self._event(ev.CheckpointPlayed(message.name))
            case ClearedAudio():
                self._event(ev.AudioCleared())
            case Dtmf():
                self._event(ev.DigitPressed(message.digit))
            case Stop():
                self.over(EndReason.CALLER_HUNG_UP)
            case UnknownEvent():
                self._metrics.messages.labels("unknown").inc()
                return
            case _:
                assert_never(message)
        self._metrics.messages.labels(type(message).__name__.lower()).inc()

    def _begin_stream(self, stream_id: StreamId | None) -> None:
        if self._started_s is None:
            self._started_s = self._parts.clock.now_s()
            self._milestones["stream_ms"] = self._since_opened_ms(self._started_s)
        self._event(ev.StreamStarted(stream_id))
        self.play_due()

    def _on_start(self, start: Start) -> bool:
        now_s = self._parts.clock.now_s()
        if self._gate.on_start(start.call_id, start.stream_id, now_s) is Verdict.FOREIGN:
            self._metrics.messages.labels("foreign").inc()
            return False
        self._audio.begin(start.media_format)
        self._begin_stream(start.stream_id)
        return True

    def _on_media(self, media: Media) -> None:
        now_s = self._parts.clock.now_s()
        match self._gate.on_media(media.stream_id, now_s):
            case Verdict.FOREIGN:
                self._metrics.messages.labels("foreign").inc()
                return
            case Verdict.BEGINS:
                self._audio.begin(None)
                self._begin_stream(media.stream_id)
            case Verdict.GOES_ON:
                pass
        if self._session.playout.stream_id is None and self._gate.stream_id is not None:
            self._session.playout.name_stream(self._gate.stream_id)
        for frame in self._audio.frames(media, now_s):
            self._ear.push(frame.pcm)
            self._event(ev.FrameScored(frame.probability, frame.level_dbfs))

    # --- by the clock ------------------------------------------------------------------------

    def on_tick(self) -> None:
        """Write what is due and do what time alone brings; called each 20 ms by the wheel."""
        if self._is_ending:
            return
        try:
            if self._link is not None and self._link.stuck_s() > self._parts.send_timeout_s:
                self._metrics.send_timeouts.inc()
                self._link.abort()
                return
            self.play_due()
            self._perform(self._session.on_tick(self._parts.clock.now_s()))
        except Exception:  # noqa: BLE001 - the top of a call: one call's bug must not end another's
            self._log.exception("call_crashed")
            self._crash()

    def play_due(self) -> None:
        """Write the audio that the schedule asks for."""
        if self._link is None:
            return
        now_s = self._parts.clock.now_s()
        due = self._session.due(now_s)
        if not due.commands:
            return
        for command in due.commands:
            self._link.send_text(serialize_command(command))
        self._metrics.frames.labels("out").inc(len(due.commands))
        for lateness_s in due.lateness_s:
            self._metrics.pacing_lateness.observe(lateness_s)
        if due.has_underrun:
            self._metrics.underruns.inc()
        self._perform(self._session.on_audio_written(now_s))

    # --- actions -----------------------------------------------------------------------------

    def _event(self, event: ev.Event) -> None:
        self._perform(self._session.on_event(event, self._parts.clock.now_s()))

    def _perform(self, actions: list[ev.Action]) -> None:
        for action in actions:
            match action:
                case ev.Write():
                    if self._link is not None:
                        self._link.send_text(serialize_command(action.command))
                case ev.BeginListening():
                    self._ear.begin()
                case ev.EndListening():
                    self._ear.end()
                case ev.ListenFor():
                    self._expectation = action.expectation
                    self._ear.expect(action.expectation)
                case ev.Greet():
                    self._ask(action.generation, self._conversation.greet, keeps=False)
                case ev.Ask():
                    self._on_ask(action)
                case ev.Speak():
                    self._on_speak(action)
                case ev.Abandon():
                    self._brain.abandon(action.generation)
                    self._voice.abandon(action.generation)
                case ev.Measure():
                    self._observe(action)
                case ev.Count():
                    self._count(action.tally)
                case ev.End():
                    self._end(action)
                case (
                    ev.Confirm()
                    | ev.SpeakPrepared()
                    | ev.ScoreTurn()
                    | ev.SendKeys()
                    | ev.ChangeLanguage()
                    | ev.LeaveToGather()
                    | ev.LeaveToTransfer()
                    | ev.Note()
                ):
                    pass
                case _:
                    assert_never(action)

    def _on_ask(self, action: ev.Ask) -> None:
        history = list(self._session.history)
        self._ask(
            action.generation,
            lambda: self._conversation.reply(action.heard, history, _CONFIRMED),
            keeps=isinstance(action.heard, base.Digit),
        )

    def _ask(
        self, generation: int, reply: Callable[[], AsyncIterator[base.Piece]], *, keeps: bool
    ) -> None:
        self._brain.add(generation, lambda: self._read_reply(generation, reply), keeps=keeps)

    def _on_speak(self, action: ev.Speak) -> None:
        self._voice.add(action.generation, lambda: self._synthesise(action))

    def _observe(self, action: ev.Measure) -> None:
        match action.stage:
            case ev.Stage.BARGE_IN:
                self._metrics.barge_in.observe(action.seconds)
            case ev.Stage.CLEAR_ACK:
                self._metrics.clear_ack.observe(action.seconds)
            case ev.Stage.FIRST_AUDIO:
                self._metrics.first_audio.observe(action.seconds)
                self._milestones["first_audio_ms"] = self._since_opened_ms(
                    self._parts.clock.now_s()
                )
            case _:
                self._metrics.turn.labels(action.stage.value).observe(action.seconds)

    def _count(self, tally: ev.Tally) -> None:
        if tally is ev.Tally.CLEAR_TIMEOUT:
            self._metrics.clear_timeouts.inc()
            return
        if tally is ev.Tally.UNDERRUN:
            self._metrics.underruns.inc()
            return
        name, label = _TALLIES[tally]
        getattr(self._metrics, name).labels(label).inc()

    def _since_opened_ms(self, now_s: float) -> float:
        return round((now_s - self._opened_s) * 1000, 1)

    # --- providers ---------------------------------------------------------------------------

    async def _read_reply(
        self, generation: int, reply: Callable[[], AsyncIterator[base.Piece]]
    ) -> None:
        try:
            async with closing(reply()) as pieces:
                while True:
                    async with asyncio.timeout(self._parts.provider_timeout_s):
                        piece = await anext(pieces, None)
                    if piece is None:
                        break
                    self._event(ev.ReplyPiece(generation, piece))
        except (ProviderError, TimeoutError) as exc:
            self._on_provider_error("brain", exc)
            self._event(ev.ReplyFailed(generation))
            return
        self._event(ev.ReplyRead(generation))

    async def _synthesise(self, action: ev.Speak) -> None:
        try:
            speech = self._parts.speech.speak(action.text, is_first=action.is_first)
            async with closing(speech) as chunks:
                async for chunk in chunks:
                    self._event(
                        ev.SentenceAudio(
                            action.name, chunk.ulaw, chunk.level_dbfs, is_last=chunk.is_last
                        )
                    )
                    self.play_due()
        except (ProviderError, TimeoutError) as exc:
            self._on_provider_error("synthesiser", exc)
            self._event(ev.SentenceFailed(action.name))

    async def _read_transcriber(self) -> None:
        while True:
            is_dead = False
            async for event in self._ear.events():
                match event:
                    case base.Final():
                        self._event(ev.Transcribed(event))
                    case base.TranscriberFailed():
                        self._on_provider_error("transcriber", None)
                        is_dead = not event.is_recoverable
                        lost = base.Final("", is_understood=False, confidence=0.0)
                        self._event(ev.Transcribed(lost))
                    case base.Partial():
                        pass
            if not is_dead:
                return
            await self._ear.aclose()
            self._ear = self._parts.transcriber.open(self._expectation)

    def _on_provider_error(self, kind: str, error: Exception | None) -> None:
        self._metrics.provider_errors.labels(kind).inc()
        self._log.warning("provider_failed", kind=kind, error=str(error) if error else None)

    # --- the end -----------------------------------------------------------------------------

    def _end(self, action: ev.End) -> None:
        if self._is_ending:
            return
        self._is_ending = True
        if self._grace is not None:
            self._grace.cancel()
        self._session.on_event(ev.CallOver(action.reason), self._parts.clock.now_s())
        asyncio.get_running_loop().call_soon(self._start_finish, action)

    def _start_finish(self, action: ev.End) -> None:
        self._owner.start(self._finish(action), name="finish")

    async def _finish(self, action: ev.End) -> None:
        """Write the record, say goodbye on the wire, let go of everything.

        The record comes first: the gateway's fallback asks it whether the agent ended the call.
        """
        reason = action.reason
        end_class = _END_CLASS.get(reason)
        fields: dict[str, object] = {
            "worker_id": self._parts.worker_id,
            "transcript": self._session.transcript,
            "milestones": self._milestones,
        }
        if end_class is not None:
            fields |= {"end_class": end_class, "end_reason": reason}
        try:
            async with asyncio.timeout(_RECORD_S):
                await self._parts.store.apply(CallChange(self.request.call_id, None, fields))
        except (BusUnavailable, TimeoutError) as exc:
            self._log.warning("record_not_written", error=str(exc))
        self._close_link(action)
        await self._ear.aclose()
        now_s = self._parts.clock.now_s()
        duration_s = now_s - self._started_s if self._started_s is not None else 0.0
        self._metrics.calls.labels((end_class or EndClass.CALLER).value, reason.value).inc()
        self._metrics.call_seconds.observe(duration_s)
        self._log.info(
            "call_ended",
            reason=reason.value,
            duration_s=round(duration_s, 1),
            turns=len(self._session.transcript),
            **self._milestones,
        )
        self._on_over(self)

    def _close_link(self, action: ev.End) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        if action.by_agent:
            link.send_text(serialize_command(StopStream(self._session.playout.stream_id)))
            link.close(LinkClose.ENDED)
        elif action.reason in (EndReason.AGENT_FAILED, EndReason.PROVIDER_FAILED):
            link.close(_INTERNAL_ERROR)
        else:
            link.close(LinkClose.NORMAL)

    async def stop(self) -> None:
        """Cancel what still runs; called after `on_over`, by the worker."""
        await self._owner.stop()
