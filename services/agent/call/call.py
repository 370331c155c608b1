"""One call on a worker: hands events to the session and performs what it asks for.

What comes from the wire is dealt with inside the callback that read it, but for the caller's audio,
which is scored with that of other calls (wire/scorer.py): whatever happens next to the call finds
that done. Providers run as owned tasks (`ears`, `wits`, `mouth`) and come back as events. An
exception that nobody expected ends this call alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextvars import Token
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import assert_never

import structlog

from services.agent.after_call.aftermath import Aftermath
from services.agent.after_call.archive import Archive
from services.agent.after_call.post_call import CallEnd
from services.agent.call.account import Account
from services.agent.call.consumed import Consumed
from services.agent.call.ears import Ears
from services.agent.call.errands import Errands
from services.agent.call.keeper import Keeper
from services.agent.call.kept import KeptCall
from services.agent.call.live import LiveView, Moment
from services.agent.call.mouth import Mouth
from services.agent.call.quiet import Quiet
from services.agent.call.trace import CallTrace
from services.agent.call.wits import Wits
from services.agent.company.cast import Cast
from services.agent.dialogue.prompt import fill_facts
from services.agent.dialogue.texts import phrases_in
from services.agent.providers import base
from services.agent.recording.recorder import Recorder, Recordings
from services.agent.turn import events as ev
from services.agent.turn.playout import BRIDGE_S, Playout
from services.agent.turn.rules import TurnTaking
from services.agent.turn.session import Session
from services.agent.turn.states import State
from services.agent.turn.vad import SpeechDetector
from services.agent.wire.caller_audio import CallerAudio, CallerFrame
from services.agent.wire.link import Link
from services.agent.wire.network import Network, NetworkCall, NetworkEvent, transfer_caller_id
from services.agent.wire.scorer import FrameScorer
from services.agent.wire.stream_gate import StreamGate, Verdict
from shared.bus.base import LiveFeed, SessionStore
from shared.metrics.bounded import BoundedLabel
from shared.metrics.catalogue import AgentMetrics
from shared.protocol.call import CallId, EndClass, EndReason, StreamId, WorkerId
from shared.protocol.errors import MalformedMessage, OversizedMessage
from shared.protocol.live import ShownCall
from shared.protocol.telephony import (
    ClearAudio,
    ClearedAudio,
    Dtmf,
    Media,
    MediaFormat,
    OutboundCommand,
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
from shared.runtime.concern import About, Concern, turn_back, turn_to
from shared.runtime.tasks import TaskOwner
from shared.runtime.tracing import NO_TRACER, Tracer

_log = structlog.get_logger(__name__)
_INTERNAL_ERROR = 1011
_LOST = (1001, 1006, 1011, 1012, LinkClose.SUPERSEDED, LinkClose.STALE_EPOCH)
"""A link closed so was given up for another: the caller may be there still."""
_CUT_OFF_S = 60.0
_LOOK_TICKS = 6
"""Between two looks of who watches a call."""
_SILENCE_TICKS = 48
"""Between two looks whether nobody speaks."""
_KEPT_TICKS = 90
"""Since a call was last taken down: with a look, twice in what gateways can say again."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What every call of a worker shares, whoever its agent is.

    `sessions` None: nobody else can go on with its calls. `live` None: nobody can watch them.
    `recordings` None: none are made. `agent_label` names agents for metrics.
    """

    worker_id: WorkerId
    scorer: FrameScorer
    make_detector: Callable[[], SpeechDetector]
    archive: Archive
    network: Network
    metrics: AgentMetrics
    clock: Clock
    lead_s: float = 0.3
    burst_s: float = 0.1
    piece_timeout_s: float = 75.0
    send_timeout_s: float = 5.0
    reattach_grace_s: float = 5.0
    sessions: SessionStore | None = None
    live: LiveFeed | None = None
    tracer: Tracer = NO_TRACER
    agent_label: BoundedLabel = field(default_factory=BoundedLabel)
    recordings: Recordings | None = None


_END_CLASS = {
    EndReason.AGENT_HUNG_UP: EndClass.SUCCESS,
    EndReason.TRANSFERRED: EndClass.SUCCESS,
    EndReason.MACHINE: EndClass.SUCCESS,
    EndReason.TIME_LIMIT: EndClass.PLATFORM,
    EndReason.PROVIDER_FAILED: EndClass.PROVIDER,
    EndReason.AGENT_FAILED: EndClass.PLATFORM,
}
"""The ends that are this worker's doing; of all others the hang-up webhook knows better."""


_FAILURES = frozenset({EndReason.AGENT_FAILED, EndReason.PROVIDER_FAILED})


class _Guard:
    """The top of a call: an exception that nobody expected ends this one and no other.

    What happens within is about the call, and so are the tasks that are started there.
    """

    def __init__(self, on_bug: Callable[[Exception], None], trace: CallTrace) -> None:
        self._on_bug = on_bug
        self._trace = trace
        self._tokens: list[Token[Concern | None]] = []

    def __enter__(self) -> None:
        # Some thirty times a second of every call: nothing that could be spared.
        self._tokens.append(turn_to(self._trace.concern))

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        if error is None:
            turn_back(self._tokens.pop())
            return False
        try:
            if not isinstance(error, Exception):
                return False
            self._on_bug(error)
            return True
        finally:
            turn_back(self._tokens.pop())


class Call:
    """A call and its link.

    Args:
        request: what the gateway told of the call.
        cast: who takes it.
        parts: shared with the worker's other calls.
        on_over: called once, when nothing of the call is left.
        kept: what another worker has left of it, for `go_on`.

    Raises:
        ProviderError: nobody can hear or think for this call.
    """

    def __init__(
        self,
        request: LinkRequest,
        cast: Cast,
        parts: Parts,
        *,
        on_over: Callable[[Call], None],
        kept: KeptCall | None = None,
    ) -> None:
        self.request = request
        self.cast = cast
        self._parts = parts
        self._on_over = on_over
        self._link: Link | None = None
        self._log = _log.bind(call_id=request.call_id, agent=cast.file.name)
        self._language = cast.file.language if kept is None else kept.language
        tongue = cast.tongue(self._language)
        now_s = parts.clock.now_s()
        facts = self._facts = _facts(request, cast)
        self._session = Session(
            detector=parts.make_detector(),
            playout=Playout(lead_s=parts.lead_s, burst_s=parts.burst_s),
            rules=with_facts(tongue.rules, facts),
            now_s=now_s,
            direction=request.direction,
        )
        self._aftermath = Aftermath(cast.file, cast.version, facts)
        self._trace = CallTrace(parts.tracer, request, cast.file.name, parts.worker_id)
        self._account = Account(
            parts.metrics,
            parts.clock,
            self._aftermath.builder,
            self._trace,
            agent=parts.agent_label.of(cast.file.name),
            direction=request.direction,
        )
        self._quiet = Quiet()
        self._owner = TaskOwner(f"call:{request.call_id}", on_failure=self._on_task_failed)
        self.live = LiveView(
            request.call_id,
            parts.live,
            self._owner,
            parts.clock,
            at_ms=lambda: self._account.at_ms,
            on_lost=parts.metrics.live_lost.inc,
        )
        self._audio = CallerAudio(
            parts.scorer.activity.open(),
            parts.metrics,
            on_frame=self._on_frame,
            on_broken=self._crash,
        )
        self._guard = _Guard(self._on_bug, self._trace)
        self._gate = StreamGate()
        self._errands = Errands(
            parts.network,
            self._owner,
            on_event=self._event,
            on_stop=self._stop_stream,
            on_over=self._trace.on_errand,
        )
        self._consumed = Consumed(None if kept is None else kept.consumed)
        self._recorder = _open_recorder(parts.recordings, request, cast, kept)
        self._keeper = Keeper(
            parts.sessions,
            request.call_id,
            epoch=lambda: self.epoch,
            take=self._take,
            on_passed=lambda: self.leave(LinkClose.STALE_EPOCH),
            on_failed=parts.metrics.snapshot_failures.inc,
        )
        variables = {} if kept is None else kept.variables
        with About(self._trace.concern):
            conversation, ear = cast.open(replace(facts, language=self._language), variables)
        self._ears = Ears(
            ear,
            tongue.transcriber.open,
            self._owner,
            on_event=self._on_heard,
            on_failed=lambda: self._on_provider_failed("stt"),
            end_of_turn=cast.end_of_turn,
        )
        self._wits = Wits(
            conversation,
            self._owner,
            on_event=self._event,
            on_failed=lambda exc: self._on_provider_failed("brain", exc),
            on_full=self._on_lane_full,
            piece_timeout_s=parts.piece_timeout_s,
        )
        self._mouth = Mouth(
            tongue.speech,
            self._owner,
            on_event=self._on_heard,
            on_usage=self._account.on_note,
            on_failed=lambda exc: self._on_provider_failed("tts", exc),
            on_full=self._on_lane_full,
        )
        self._count_out = parts.metrics.frames.labels("out").inc
        self._observe_lateness = parts.metrics.pacing_lateness.observe
        self._stream_call_id: CallId | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._has_begun = False
        self._is_ending = False
        self._is_given_up = self._is_left = False
        self._is_catching_up = False
        self._at_s: float | None = None
        self._why = ""
        self._ticks = self._kept_tick = 0
        self._variables: Mapping[str, str] = {}
        self._was_in = State.WAITING
        self._was_sent: str | None = None

    # --- life --------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """The newest link's."""
        return self.request.epoch

    @property
    def state(self) -> State:
        """What the conversation is doing."""
        return self._session.state

    def start(self) -> None:
        """Begin: the first words are prepared before the caller's audio is there."""
        self._trace.on_taken()
        self._log.info("call_taken", worker_id=self._parts.worker_id, epoch=self.epoch)
        self._ears.start()
        self._mouth.warm()
        self._keeper.start()
        self._perform(self._session.begin())

    def go_on(self, kept: KeptCall | None, *, since_s: float) -> None:
        """Go on with a call that another worker had; in place of `start`, after `attach`.

        What the caller did meanwhile follows by `on_text`, then `caught_up`. Nothing is written
        before that.

        Args:
            kept: as given to the constructor; None: nothing is known but that the call goes on.
            since_s: when its link was opened.
        """
        self._is_catching_up = True
        before = "" if kept is None else str(kept.account.get("span", ""))
        self._trace.on_taken(before, since_s)
        self._quiet.resume(since_s)
        self._ears.start()
        self._mouth.warm()
        now_s = self._parts.clock.now_s()
        with self._guard:
            if kept is None:
                text = phrases_in(self._language).resumed
                self._perform(self._session.begin_amid(text, now_s))
            else:
                self._restore(kept, now_s)
        self._has_begun = True
        self._account.on_mark("worker", name=self._parts.worker_id)
        self._log.info(
            "call_taken_over",
            worker_id=self._parts.worker_id,
            epoch=self.epoch,
            is_restored=kept is not None,
        )

    def _restore(self, kept: KeptCall, now_s: float) -> None:
        self._account.restore(kept.account)
        if (stream_id := self._consumed.stream_id) is not None:
            self._session.playout.name_stream(StreamId(stream_id))
        wall_s = self._parts.clock.wall().timestamp()
        self._perform(self._session.restore(kept.session, now_s, wall_s))

    def caught_up(self) -> None:
        """All that the caller did meanwhile is known: speak, and keep what happens from now on."""
        if self._is_ending:
            return
        with self._guard:
            name = f"drained#{self.epoch}"
            self._perform(self._session.drain(name, self._parts.clock.now_s()))
            self._is_catching_up = False
            self._keeper.start()
            self._keeper.touch()
            self.play_due()

    def _take(self) -> KeptCall:
        self._settle()  # what is not scored is not consumed
        self._kept_tick = self._ticks
        clock = self._parts.clock
        session = self._session
        return KeptCall(
            session.snapshot(clock.now_s(), clock.wall().timestamp()),
            self._language,
            self._wits.settled_variables,
            self._account.kept(),
            self._consumed.kept(session.open_since_s),
            None if self._recorder is None else self._recorder.kept(),
        )

    def on_woken(self) -> None:
        """The worker stood still for a while: see at once whether the call is its own still."""
        self._keeper.touch()

    def attach(self, link: Link, request: LinkRequest) -> None:
        """Take a link, in place of the one before."""
        self._settle()
        before, self._link = self._link, link
        self.request = request
        self._cancel_grace()
        if before is not None:
            before.close(LinkClose.SUPERSEDED)
        self._keeper.release()
        if self._has_begun:
            self._gate.on_link()
            self._consumed.on_link()

    def _cancel_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def on_link_closed(self, link: Link, code: int) -> None:
        """The link is gone. A clean close ends the call; after a lost one it may come back."""
        if link is not self._link:
            return
        self._link = None
        if self._errands.is_away:
            return
        if code in _LOST:
            self._keeper.hold()  # what nobody hears any more is not to be known as heard
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(
                self._parts.reattach_grace_s, self.over, EndReason.CARRIER_LOST
            )
            return
        self.over(EndReason.CALLER_HUNG_UP)

    def over(self, reason: EndReason) -> None:
        """The other side has ended the call."""
        with self._guard:
            self._event(ev.CallOver(reason))

    def on_network(self, event: NetworkEvent) -> None:
        """The network tells of this call."""
        with self._guard:
            self._errands.on_network(event)

    def _on_bug(self, error: Exception) -> None:
        self._log.error("call_crashed", exc_info=error)
        self._why = type(error).__name__
        self._crash()

    def _on_task_failed(self, name: str, error: BaseException) -> None:
        self._why = f"{type(error).__name__} in {name.rpartition('/')[2]}"
        self._crash()

    def _on_lane_full(self) -> None:
        self._log.error("lane_full")
        self._why = "lane_full"
        self.over(EndReason.AGENT_FAILED)

    def _on_provider_failed(self, kind: str, error: Exception | None = None) -> None:
        self._account.on_part_failed(kind)
        self._why = f"{kind}: {error}" if error else kind
        self._log.warning("part_failed", kind=kind, error=str(error) if error else None)

    def _crash(self) -> None:
        """Give the call up after an exception nobody expected; the caller gets the fallback."""
        self._parts.metrics.ended_by_bug.inc()
        if not self._is_ending:
            self._end(ev.End(EndReason.AGENT_FAILED, by_agent=False))

    # --- from the wire -----------------------------------------------------------------------

    def on_text(self, text: str, *, at_s: float | None = None) -> None:
        """Take one message of the media socket; what can't be read is counted and skipped.

        Args:
            text: the message.
            at_s: when it came, if that was not now.
        """
        if self._is_ending:
            return
        try:
            message = parse_inbound(text)
        except OversizedMessage:
            self._parts.metrics.messages.labels("oversized").inc()
            return
        except MalformedMessage:
            self._parts.metrics.messages.labels("malformed").inc()
            return
        self._at_s = at_s
        if isinstance(message, Media):
            self._on_media(message)
        else:
            with self._guard:
                self._on_message(message)
        self._at_s = None

    def _on_message(
        self, message: Start | PlayedStream | ClearedAudio | Dtmf | Stop | UnknownEvent
    ) -> None:
        match message:
            case Start():
                self._settle()
                if not self._on_start(message):
                    return
            case PlayedStream():
                self._account.on_mark("checkpoint", name=message.name)
                if self._recorder is not None:
                    self._recorder.on_played(message.name)
                self._event(ev.CheckpointPlayed(message.name))
            case ClearedAudio():
                self._account.on_mark("cleared")
                if self._recorder is not None:
                    self._recorder.on_cleared()
                self._event(ev.AudioCleared())
            case Dtmf() if self._consumed.is_old_key():
                return
            case Dtmf():
                self._consumed.on_key()
                self._account.on_keys(message.digit)
                self.live.tell("keys", who="caller", text=message.digit)
                self._event(ev.DigitPressed(message.digit))
            case Stop():
                if not self._errands.is_away:
                    self.over(EndReason.CALLER_HUNG_UP)
            case UnknownEvent():
                self._parts.metrics.messages.labels("unknown").inc()
                return
            case _:
                assert_never(message)
        self._parts.metrics.messages.labels(type(message).__name__.lower()).inc()

    def _begin_stream(self, stream_id: StreamId | None, media_format: MediaFormat | None) -> None:
        if self._recorder is not None:
            self._recorder.on_stream(stream_id, media_format, self._now_s())
        is_first, self._has_begun = not self._has_begun, True
        self._account.on_stream()
        self._errands.on_back()
        self._event(ev.StreamStarted(stream_id))
        if is_first and self.request.metadata.get("machine") == "true":
            self._event(ev.MachineJudged(is_machine=True))
        self.play_due()

    def _on_start(self, start: Start) -> bool:
        now_s = self._now_s()
        if self._gate.on_start(start.call_id, start.stream_id, now_s) is Verdict.FOREIGN:
            self._parts.metrics.messages.labels("foreign").inc()
            return False
        self._stream_call_id = start.call_id
        self._audio.begin(start.media_format)
        self._begin_stream(start.stream_id, start.media_format)
        return True

    def _on_media(self, media: Media) -> None:
        now_s = self._now_s()
        verdict = self._gate.on_media(media.stream_id, now_s)
        if verdict is Verdict.FOREIGN:
            self._parts.metrics.messages.labels("foreign").inc()
            return
        if verdict is Verdict.BEGINS:
            with self._guard:
                self._settle()
                self._audio.begin(None)
                self._begin_stream(media.stream_id, None)
            if self._is_ending:
                return
        try:
            self._take_media(media, now_s)
        except Exception as exc:  # noqa: BLE001 - as the guard, which costs more than all of this
            self._on_bug(exc)

    def _take_media(self, media: Media, now_s: float) -> None:
        if self._session.playout.stream_id is None and self._gate.stream_id is not None:
            self._session.playout.name_stream(self._gate.stream_id)
        if self._recorder is not None:
            self._recorder.on_media(media, now_s)
        if self._consumed.is_old(media, now_s):
            return
        self._audio.take(media, now_s)
        if self._is_catching_up:
            self._settle()
        else:
            self._parts.scorer.ask(self._audio)

    def _on_frame(self, frame: CallerFrame) -> None:
        """Hear 20 ms of the caller, at the time they came; what they ask for is done now."""
        if self._is_ending:
            return
        before, self._at_s = self._at_s, frame.at_s
        try:
            self._ears.push(frame.pcm)
            session = self._session
            actions = session.on_frame(frame.probability, frame.level_dbfs, frame.at_s)
            if actions or self._has_moved():
                with self._guard:
                    self._perform(actions)
        except Exception as exc:  # noqa: BLE001 - as the guard, which costs more than a quiet frame
            self._on_bug(exc)
        self._at_s = before

    def _settle(self) -> None:
        """Have the audio that came so far scored: what comes next comes after it."""
        self._parts.scorer.score_now(self._audio, is_live=not self._is_catching_up)

    # --- by the clock ------------------------------------------------------------------------

    def on_tick(self) -> None:
        """Write what is due and do what time alone brings; called each 20 ms by the wheel.

        What is due is written at its time; all else can wait for every other turn.
        """
        if self._is_ending or self._is_catching_up or self._errands.is_away:
            return
        self._ticks += 1
        now_s = self._parts.clock.now_s()
        is_due = now_s >= self._session.playout.next_s
        if self._ticks % 2 and not is_due:
            return
        with self._guard:
            if is_due:
                self.play_due()
            if self._ticks % 2:
                return
            variables = self._wits.settled_variables
            if variables is not self._variables and variables != self._variables:
                self._variables = variables  # a tool has begun or ended
                self._keeper.touch()
            if self._ticks % _LOOK_TICKS == 0 and not self._look():
                return
            self._perform(self._session.on_tick(now_s))

    def _look(self) -> bool:
        """Do what a tenth of a second is soon enough for; False when the link is cut by it."""
        if self._recorder is not None:
            self._recorder.flush_if_due(self._parts.clock.now_s())
        if self._link is not None and self._link.stuck_s() > self._parts.send_timeout_s:
            self._parts.metrics.send_timeouts.inc()
            self._link.abort()
            return False
        if self.live.is_watched:
            self._show()
        if self._ticks - self._kept_tick >= _KEPT_TICKS:
            self._kept_tick = self._ticks
            self._keeper.touch()
        if self._ticks % _SILENCE_TICKS == 0:
            self._look_at_silence()
        return True

    def _show(self) -> None:
        session = self._session
        being_said = session.being_said(self._parts.clock.now_s())
        self.live.look(Moment(session.state.value, session.transcript, being_said))

    def _look_at_silence(self) -> None:
        session, now_s = self._session, self._parts.clock.now_s()
        is_audible = session.playout.is_audible(now_s)
        if self._quiet.look(session.state, now_s, is_audible=is_audible):
            self._parts.metrics.dead_air.inc()
            self._log.warning("dead_air", state=session.state.value)

    def play_due(self, *, more_s: float = 0.0) -> None:
        """Write the audio that the schedule asks for, and `more_s` of what follows."""
        if self._link is None or self._is_catching_up or self._is_ending:
            return
        now_s = self._parts.clock.now_s()
        due = self._session.due(now_s, more_s=more_s)
        if not due.commands:
            return
        self._link.send_texts([serialize_command(command) for command in due.commands])
        if self._recorder is not None:
            self._recorder.on_written(due.commands, now_s)
        self._count_out(len(due.commands))
        for lateness_s in due.lateness_s:
            self._observe_lateness(lateness_s)
        if self._quiet.is_resuming:
            self._parts.metrics.resume_silence.observe(self._quiet.on_audio(now_s))
        if due.has_underrun:
            self._parts.metrics.underruns.inc()
        self._perform(self._session.on_audio_written(now_s))

    # --- actions -----------------------------------------------------------------------------

    def _now_s(self) -> float:
        return self._parts.clock.now_s() if self._at_s is None else self._at_s

    def _event(self, event: ev.Event) -> None:
        self._settle()
        self._perform(self._session.on_event(event, self._now_s()))
        if isinstance(event, ev.CheckpointPlayed | ev.ReplyPiece | ev.ReplyRead):
            self._keeper.touch()

    def _with_wait(self, measure: ev.Measure) -> ev.Measure:
        """Add to a time that ends now what the caller's frame waited to be scored."""
        if measure.stage is not ev.Stage.BARGE_IN or self._at_s is None or self._is_catching_up:
            return measure
        waited_s = self._parts.clock.now_s() - self._at_s
        return ev.Measure(measure.stage, measure.seconds + waited_s)

    def _on_heard(self, event: ev.Event) -> None:
        """Words were recognised, or audio was made: something may be due at once."""
        if isinstance(event, ev.TranscriptGrew):
            self.live.on_partial(event.partial.text)
        self._event(event)
        self.play_due()

    def _has_moved(self) -> bool:
        """Whether the state, or the sentence on its way, is another than when last looked at."""
        session = self._session
        return (
            session.state is not self._was_in or session.playout.newest_sent is not self._was_sent
        )

    def _perform(self, actions: list[ev.Action]) -> None:
        if actions or self._has_moved():
            self._was_in = self._session.state
            self._was_sent = self._session.playout.newest_sent
            self._keeper.touch()
            self._quiet.on_state(self._was_in)
        for action in actions:
            match action:
                case ev.Write():
                    self._write(action.command)
                case ev.BeginListening():
                    self._ears.begin()
                case ev.EndListening():
                    self._ears.end()
                case ev.ListenFor():
                    self._ears.expect(action.expectation)
                case ev.ScoreTurn():
                    self._ears.score_turn(action.number)
                case ev.Greet():
                    self._begin_turn("greeting")
                    has_other = self.cast.speech_brain is not None
                    other = self._leave_speech_brain if has_other else None
                    self._wits.greet(action.generation, otherwise=other)
                case ev.Ask():
                    self._begin_turn("turn")
                    self._wits.ask(action)
                case ev.Confirm():
                    self._wits.confirm(action.generation)
                case ev.Speak():
                    self._trace.on_sentence()
                    self._mouth.speak(action)
                case ev.SpeakPrepared():
                    self._mouth.speak_prepared(action)
                case ev.Abandon():
                    self._wits.abandon(action.generation, rewinds=action.rewinds)
                    self._mouth.abandon(action.generation)
                case ev.ChangeLanguage():
                    self._change_language(action.language)
                case ev.SendKeys():
                    self._account.on_keys(action.digits, by_agent=True)
                    self.live.tell("keys", who="agent", text=action.digits)
                    self._errands.send_digits(self._network_call(), action.digits)
                case ev.LeaveToGather():
                    self._errands.gather(self._network_call(), action.request)
                case ev.LeaveToTransfer():
                    self._transfer(action.to)
                case ev.Note():
                    self._on_note(action.piece)
                case ev.Measure():
                    measure = self._with_wait(action)
                    self._account.on_measure(measure)
                    self.live.on_measure(measure)
                case ev.Count():
                    self._account.on_count(action.tally)
                case ev.End():
                    self._end(action)
                case _:
                    assert_never(action)

    def _write(self, command: OutboundCommand) -> None:
        if isinstance(command, ClearAudio):
            self._account.on_mark("clear")
        if self._link is not None:
            self._link.send_text(serialize_command(command))
            if self._recorder is not None:
                self._recorder.on_written((command,), self._now_s())

    def _on_note(self, piece: base.ToolUsed | base.Usage) -> None:
        self._account.on_note(piece)
        if isinstance(piece, base.ToolUsed):
            took_ms = round(piece.seconds * 1000, 1)
            self.live.tell("tool", name=piece.name, outcome=piece.outcome, took_ms=took_ms)

    def _begin_turn(self, name: str) -> None:
        self._trace.on_asked(name)
        turn_to(self._trace.concern)

    def _change_language(self, language: str) -> None:
        tongue = self.cast.tongue(language)
        self._language = language
        self._session.use_rules(with_facts(tongue.rules, self._facts))
        self._mouth.switch(tongue.speech)
        if self.cast.speech_brain is None:
            self._ears.switch(tongue.transcriber.open)

    def _leave_speech_brain(self) -> base.Conversation:
        """Go on with ears, brain and voice of their own: speech to speech can't be had."""
        self._ears.switch(self.cast.tongue(self._language).transcriber.open)
        return self.cast.brain.open(_facts(self.request, self.cast), {})

    def _network_call(self) -> NetworkCall:
        return NetworkCall.of(self.request, self._stream_call_id)

    def _transfer(self, to: str) -> None:
        shown = transfer_caller_id(self.request, self.cast.file.transfer_caller_id)
        self._errands.transfer(self._network_call(), to, shown)

    def _stop_stream(self) -> None:
        """Leave the stream for an errand; the caller comes back on another."""
        link, self._link = self._link, None
        if link is not None:
            link.send_text(serialize_command(StopStream(self._session.playout.stream_id)))
            link.close(LinkClose.AWAY)

    # --- the end -----------------------------------------------------------------------------

    def _end(self, action: ev.End) -> None:
        if self._is_ending:
            return
        self._is_ending = True
        self._is_given_up = action.reason is EndReason.CARRIER_LOST
        self._cancel_grace()
        self._errands.close()
        if self._recorder is not None:
            self._recorder.close(is_call_over=True)
        try:
            self._tell_end(action.reason)
            self._session.on_event(ev.CallOver(action.reason), self._parts.clock.now_s())
        except Exception:  # noqa: BLE001 - what made the call crash may be in the way of its end
            self._log.exception("session_not_ended")
        asyncio.get_running_loop().call_soon(self._start_finish, action)

    def _tell_end(self, reason: EndReason) -> None:
        if self.live.is_watched:
            self._show()
            self.live.tell("ended", reason=reason.value)

    def _start_finish(self, action: ev.End) -> None:
        self._owner.start(self._finish(action), name="finish")

    async def _finish(self, action: ev.End) -> None:
        """Write the record, say goodbye on the wire, let go of everything.

        The record comes first: the gateway's fallback asks it whether the agent ended the call.
        """
        # A worker that is cut off from gateway and store alike can't know whose the call is.
        patience_s = _CUT_OFF_S if action.reason is EndReason.CARRIER_LOST else 0.0
        if await self._keeper.is_passed(patience_s=patience_s) or self._is_left:
            await self._depart(LinkClose.STALE_EPOCH)
            return
        reason, end_class = action.reason, _END_CLASS.get(action.reason)
        duration_s = round(self._account.duration_s, 1)
        self._account.close(self._ears.usage_s, reason, end_class)
        more = {
            "worker_id": self._parts.worker_id,
            "agent": self.cast.file.name,
            "milestones": self._account.milestones,
        }
        if self._recorder is not None:
            self._recorder.complete()
            more["recording"] = self._recorder.summary()
        if end_class is not None:
            more |= {"end_class": end_class, "end_reason": reason}
        # A long transcript takes a while to be gone through: not on the loop.
        change = await asyncio.to_thread(
            self._aftermath.change,
            list(self._session.transcript),
            language=self._language,
            more=more,
        )
        ended_at = self._parts.clock.wall().isoformat(timespec="milliseconds")
        end = CallEnd(reason, end_class or EndClass.CALLER, ended_at, duration_s)
        await self._parts.archive.keep(change, self._aftermath, end)
        await self._keeper.forget()
        self._close_link(action)
        await self._ears.aclose()
        await self._wits.aclose()
        is_failed = reason in _FAILURES
        self._trace.close(reason, self._account.started_s, error=reason if is_failed else "")
        self._log.log(
            logging.ERROR if is_failed else logging.INFO,
            "call_ended",
            reason=reason.value,
            why=self._why if is_failed else None,
            duration_s=duration_s,
            turns=len(self._session.transcript),
            **self._account.milestones,
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

    # --- for another worker ------------------------------------------------------------------

    @property
    def is_ending(self) -> bool:
        """Whether it is over, or another worker's."""
        return self._is_ending

    @property
    def is_given_up(self) -> bool:
        """Whether it ends for want of a caller, or is another's: no link can bring it back."""
        return self._is_given_up

    def shown(self) -> ShownCall:
        """Return how it stands, for who looks at the worker."""
        request, account = self.request, self._account
        return ShownCall(
            call_id=request.call_id,
            agent=self.cast.file.name,
            direction=request.direction.value,
            from_number=request.from_number,
            to_number=request.to_number,
            state=self._session.state.value,
            age_s=round(account.duration_s, 1),
            jitter_ms=round(self._audio.jitter_s * 1000, 2),
            last_turn_ms=account.last_turn_ms,
            turns=account.turns,
        )

    async def hand_over(self) -> None:
        """Leave the call to another worker: nothing of it is ended or recorded here."""
        if self._is_ending:
            return
        self.play_due(more_s=BRIDGE_S)
        self._keeper.hold()
        self._fall_still()
        await self._keeper.write_last()
        self._parts.metrics.handed_over.inc()
        await self._depart(LinkClose.HANDOVER)

    def leave(self, code: LinkClose) -> None:
        """Somebody else has the call already: say and record nothing more of it."""
        if not self._is_ending:
            self._fall_still()
            self._owner.start(self._depart(code), name="depart")
            return
        self._is_left = True
        link, self._link = self._link, None
        if link is not None:
            link.close(code)

    def _fall_still(self) -> None:
        self._is_ending = self._is_given_up = True
        self._cancel_grace()
        self._errands.close()
        if self._recorder is not None:
            self._recorder.close(is_call_over=False)
        for action in self._session.on_event(ev.CallOver(EndReason.CARRIER_LOST), self._now_s()):
            if isinstance(action, ev.Abandon):
                self._wits.abandon(action.generation, rewinds=False)
                self._mouth.abandon(action.generation)

    async def _depart(self, code: LinkClose) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close(code)
        await self._keeper.aclose()
        await self._ears.aclose()
        await self._wits.aclose()
        word = code.name.lower()
        self._trace.close(f"left_{word}", self._account.started_s)
        self._log.info("call_left", code=word)
        self._on_over(self)

    async def stop(self) -> None:
        """Cancel what still runs; called after `on_over`, by the worker."""
        await self._owner.stop()


def _open_recorder(
    recordings: Recordings | None, request: LinkRequest, cast: Cast, kept: KeptCall | None
) -> Recorder | None:
    """Record the call if its agent wants it; one that began without goes on without."""
    if recordings is None or (kept is not None and kept.recording is None):
        return None
    return recordings.open(request, cast.file, None if kept is None else kept.recording)


def with_facts(rules: TurnTaking, facts: base.CallFacts) -> TurnTaking:
    """Return an agent's rules with the facts of a call in their texts."""
    message = fill_facts(rules.machine.message, facts)
    return replace(
        rules,
        machine=replace(rules.machine, message=message),
        uninterruptible=tuple(fill_facts(text, facts) for text in rules.uninterruptible),
    )


def _facts(request: LinkRequest, cast: Cast) -> base.CallFacts:
    return base.CallFacts(
        request.call_id,
        cast.file.name,
        request.direction,
        request.from_number,
        request.to_number,
        request.metadata,
        cast.file.language,
        request.variables,
    )
