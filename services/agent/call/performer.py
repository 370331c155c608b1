"""Hands events of one call to its session, and performs what the session asks for.

Whatever happens to the call comes through here, each thing at its time: events of the providers and
the network by `on_event`, those of the wire from `incoming`, the clock's from `rounds`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import assert_never

from services.agent.call.belongings import Belongings
from services.agent.call.errands import Errands
from services.agent.call.faculties import Faculties
from services.agent.turn import events as ev
from services.agent.turn.states import State
from services.agent.wire.caller_audio import CallerAudio, CallerFrame
from services.agent.wire.network import NetworkCall, NetworkEvent, transfer_caller_id
from shared.protocol.call import CallId, EndReason
from shared.protocol.telephony import ClearAudio, OutboundCommand, StopStream
from shared.protocol.worker import LinkClose
from shared.runtime.concern import turn_to


class Performer:
    """One call's.

    Args:
        own: the call's.
        language: the one to begin with.
        variables: the dialogue's, as another worker left them.
        on_end: ends the call.

    Attributes:
        audio: the caller's; what comes of it is heard here.
        faculties: who hears, thinks and speaks.
        errands: what the network does meanwhile.
        stream_call_id: as the media stream's `start` said it.
        at_s: when that came which is being dealt with, if it was not now.
        is_catching_up: it was another worker's; nothing is written or measured before all that the
            caller did meanwhile is known.
        is_over: nothing is heard, said or done any more.

    Raises:
        ProviderError: nobody can hear or think for this call.
    """

    def __init__(
        self,
        own: Belongings,
        language: str,
        variables: Mapping[str, str],
        *,
        on_end: Callable[[ev.End], None],
    ) -> None:
        self.stream_call_id: CallId | None = None
        self.at_s: float | None = None
        self.is_catching_up = self.is_over = False
        self._on_end = on_end
        self._cast = own.cast
        self._session = own.session
        self._line = own.line
        self._witnesses = own.witnesses
        self._keeper = own.keeper
        self._guard = own.guard
        self._quiet = own.quiet
        self._log = own.log
        self._clock = own.parts.clock
        self._scorer = own.parts.scorer
        self._observe_resumed = own.parts.metrics.resume_silence.observe
        self._was_in = State.WAITING
        self._was_sent: str | None = None
        self.audio = CallerAudio(
            own.parts.scorer.activity.open(),
            own.parts.metrics,
            on_frame=self._on_frame,
            on_broken=own.guard.crash,
        )
        self.errands = Errands(
            own.parts.network,
            own.owner,
            on_event=self.on_event,
            on_stop=self._stop_stream,
            on_over=own.witnesses.trace.on_errand,
        )
        self.faculties = Faculties(
            own,
            language,
            variables,
            on_event=self.on_event,
            on_heard=self._on_heard,
            on_full=self._on_lane_full,
        )
        self._ears = self.faculties.ears

    # --- events ------------------------------------------------------------------------------

    def now_s(self) -> float:
        """The time of what is being dealt with."""
        return self._clock.now_s() if self.at_s is None else self.at_s

    def settle(self) -> None:
        """Have the audio that came so far scored: what comes next comes after it."""
        self._scorer.score_now(self.audio, is_live=not self.is_catching_up)

    def on_event(self, event: ev.Event) -> None:
        """Something has happened."""
        self.settle()
        self.perform(self._session.on_event(event, self.now_s()))
        if isinstance(event, ev.CheckpointPlayed | ev.ReplyPiece | ev.ReplyRead):
            self._keeper.touch()

    def _on_heard(self, event: ev.Event) -> None:
        """Words were recognised, or audio was made: something may be due at once."""
        if isinstance(event, ev.TranscriptGrew):
            self._witnesses.live.on_partial(event.partial.text)
        self.on_event(event)
        self.play_due()

    def _on_frame(self, frame: CallerFrame) -> None:
        """Hear 20 ms of the caller, at the time they came; what they ask for is done now."""
        if self.is_over:
            return
        before, self.at_s = self.at_s, frame.at_s
        try:
            self._ears.push(frame.pcm)
            session = self._session
            actions = session.on_frame(frame.probability, frame.level_dbfs, frame.at_s)
            if actions or self._has_moved():
                with self._guard:
                    self.perform(actions)
        except Exception as exc:  # noqa: BLE001 - as the guard, which costs more than a quiet frame
            self._guard.on_bug(exc)
        self.at_s = before

    def on_network(self, event: NetworkEvent) -> None:
        """The network tells of this call."""
        with self._guard:
            self.errands.on_network(event)

    def over(self, reason: EndReason) -> None:
        """The other side has ended the call."""
        with self._guard:
            self.on_event(ev.CallOver(reason))

    def _on_lane_full(self) -> None:
        self._log.error("lane_full")
        self._guard.why = "lane_full"
        self.over(EndReason.AGENT_FAILED)

    def play_due(self, *, more_s: float = 0.0) -> None:
        """Write the audio that the schedule asks for, and `more_s` of what follows."""
        if self._line.link is None or self.is_catching_up or self.is_over:
            return
        now_s = self._clock.now_s()
        due = self._session.due(now_s, more_s=more_s)
        if not due.commands:
            return
        self._line.write_due(due, now_s)
        if self._quiet.is_resuming:
            self._observe_resumed(self._quiet.on_audio(now_s))
        self.perform(self._session.on_audio_written(now_s))

    # --- actions -----------------------------------------------------------------------------

    def _has_moved(self) -> bool:
        """Whether the state, or the sentence on its way, is another than when last looked at."""
        session = self._session
        return (
            session.state is not self._was_in or session.playout.newest_sent is not self._was_sent
        )

    def perform(self, actions: list[ev.Action]) -> None:
        """Do what the session has asked for, in order."""
        if actions or self._has_moved():
            self._was_in = self._session.state
            self._was_sent = self._session.playout.newest_sent
            self._keeper.touch()
            self._quiet.on_state(self._was_in)
        for action in actions:
            self._do(action)

    def _do(self, action: ev.Action) -> None:
        faculties, witnesses = self.faculties, self._witnesses
        match action:
            case ev.Write():
                self._write(action.command)
            case ev.BeginListening():
                faculties.ears.begin()
            case ev.EndListening():
                faculties.ears.end()
            case ev.ListenFor():
                faculties.ears.expect(action.expectation)
            case ev.ScoreTurn():
                faculties.ears.score_turn(action.number)
            case ev.Greet():
                self._begin_turn("greeting")
                faculties.greet(action.generation)
            case ev.Ask():
                self._begin_turn("turn")
                faculties.wits.ask(action)
            case ev.Confirm():
                faculties.wits.confirm(action.generation)
            case ev.Speak():
                witnesses.trace.on_sentence()
                faculties.mouth.speak(action)
            case ev.SpeakPrepared():
                faculties.mouth.speak_prepared(action)
            case ev.Abandon():
                faculties.abandon(action.generation, rewinds=action.rewinds)
            case ev.ChangeLanguage():
                self._session.use_rules(faculties.change_language(action.language))
            case ev.SendKeys():
                witnesses.on_keys(action.digits, by_agent=True)
                self.errands.send_digits(self._network_call(), action.digits)
            case ev.LeaveToGather():
                self.errands.gather(self._network_call(), action.request)
            case ev.LeaveToTransfer():
                self._transfer(action.to)
            case ev.Note():
                witnesses.on_note(action.piece)
            case ev.Measure():
                witnesses.on_measure(self._with_wait(action))
            case ev.Count():
                witnesses.account.on_count(action.tally)
            case ev.End():
                self._on_end(action)
            case _:
                assert_never(action)

    def _write(self, command: OutboundCommand) -> None:
        if isinstance(command, ClearAudio):
            self._witnesses.account.on_mark("clear")
        self._line.write(command, self.now_s())

    def _begin_turn(self, name: str) -> None:
        self._witnesses.trace.on_asked(name)
        turn_to(self._witnesses.trace.concern)

    def _with_wait(self, measure: ev.Measure) -> ev.Measure:
        """Add to a time that ends now what the caller's frame waited to be scored."""
        if measure.stage is not ev.Stage.BARGE_IN or self.at_s is None or self.is_catching_up:
            return measure
        waited_s = self._clock.now_s() - self.at_s
        return ev.Measure(measure.stage, measure.seconds + waited_s)

    def _network_call(self) -> NetworkCall:
        return NetworkCall.of(self._line.request, self.stream_call_id)

    def _transfer(self, to: str) -> None:
        shown = transfer_caller_id(self._line.request, self._cast.file.transfer_caller_id)
        self.errands.transfer(self._network_call(), to, shown)

    def _stop_stream(self) -> None:
        """Leave the stream for an errand; the caller comes back on another."""
        self._line.close(LinkClose.AWAY, stops=StopStream(self._session.playout.stream_id))

    def close(self) -> None:
        """Neither hear, say nor do anything more."""
        self.is_over = True
        self.errands.close()
