"""PURE. One call's conversation: whose turn it is, what is said, what was heard.

`on_event` takes an event and returns what is to be done about it; `on_tick` is called each 20 ms
and returns what time alone brings. Neither waits, and neither knows of sockets or tasks.

Here is the life of the call: its stream, its bounds in time, machines that answer, what the network
does with the caller meanwhile. Whose turn it is: `turn/hearing.py` for what the caller does to the
conversation, `turn/floor.py` for what the agent does, `turn/states.py` for all states.
"""

from __future__ import annotations

from typing import Any, assert_never

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.answering_machine import AnsweringMachine
from services.agent.turn.ear import Ear
from services.agent.turn.events import Action, Count, Event, Measure, Stage, Tally
from services.agent.turn.floor import Floor
from services.agent.turn.hearing import Hearing
from services.agent.turn.own_words import OwnWords
from services.agent.turn.playout import Due, Playout
from services.agent.turn.resume import restore_floor, take_snapshot
from services.agent.turn.rules import OnMachine, TurnTaking
from services.agent.turn.snapshot import Snapshot
from services.agent.turn.states import State
from services.agent.turn.vad import SpeechDetector
from shared.protocol.call import Direction, EndReason
from shared.protocol.telephony import ClearAudio

_AWAY_S = 90.0
"""The longest the network may have the caller: a dial attempt, or keys being collected."""
_LAST_WORDS_S = 30.0
"""How long after its time limit a call ends whatever happens."""
_NOBODY = 0  # a generation that is no answer's
_NO_TURNS = (State.WAITING, State.HOLDING, State.AWAY, State.CLOSING)


class Session:
    """The conversation of one call.

    Args:
        detector: finds the caller's speech in scored frames.
        playout: the way to the caller's ear.
        rules: turn-taking.
        now_s: the present, monotonic; all later times are of the same clock.
        direction: outbound calls may be answered by a machine.
    """

    def __init__(
        self,
        *,
        detector: SpeechDetector,
        playout: Playout,
        rules: TurnTaking,
        now_s: float,
        direction: Direction = Direction.INBOUND,
    ) -> None:
        self.playout = playout
        self._rules = rules
        self._ear = Ear(detector, rules)
        self._floor = Floor(ear=self._ear, playout=playout, rules=rules, now_s=now_s)
        self._hearing = Hearing(self._floor, rules)
        self._own_words = OwnWords(self._floor, rules)
        self._machine = AnsweringMachine(rules.machine, direction)
        self._is_machine = False
        self._has_played = False

    @property
    def state(self) -> State:
        """What it is doing."""
        return self._floor.state

    @property
    def history(self) -> list[base.Message]:
        """The conversation as it was heard, for the brain."""
        return self._floor.record.history

    @property
    def transcript(self) -> list[dict[str, Any]]:
        """The same for the record, see `Conversed`."""
        return self._floor.record.transcript

    @property
    def end_reason(self) -> EndReason | None:
        """Why it ended, None while it goes on."""
        return self._floor.end_reason

    def being_said(self, now_s: float) -> str:
        """The answer on its way to the caller's ear: what was heard of it, and what is now."""
        reply, sentence = self._floor.mouth.reply, self.playout.in_hand(now_s)
        texts = [] if reply is None else list(reply.texts)
        if sentence is not None and self.state in (State.SPEAKING, State.CLOSING):
            texts.append(sentence.text)
        return " ".join(text for text in texts if text)

    def use_rules(self, rules: TurnTaking) -> None:
        """Speak by other rules from now on: the language has changed.

        What the ears know of the language follows the words that changed it, see Floor.
        """
        self._rules = rules
        for part in (self._floor, self._floor.mouth, self._hearing, self._own_words):
            part.rules = rules

    # --- entry points ------------------------------------------------------------------------

    def begin(self) -> list[Action]:
        """Start preparing the first words; call once, before any event."""
        return [ev.Greet(self._floor.mouth.begin(None, self._floor.media_s).generation)]

    def restore(self, snapshot: Snapshot, now_s: float, wall_s: float) -> list[Action]:
        """Go on from where another session stood; in place of `begin`.

        Nothing of it goes out before the stream is there again (StreamStarted) and has drained.

        Args:
            snapshot: of the other session.
            now_s: the present, monotonic...
            wall_s: ...and by the wall clock.
        """
        floor = self._floor
        self._has_played = snapshot.begun_wall_s is not None
        self._own_words.has_apologised = snapshot.has_apologised
        self._is_machine = snapshot.is_machine
        if self._has_played:
            self._machine.on_judged()
        actions = restore_floor(floor, snapshot, now_s, wall_s)
        match self.state:
            case State.HOLDING:
                self._machine.begin_wait(now_s)
            case State.AWAY if snapshot.is_gathering:
                actions += floor.ask(base.Digits(""), now_s)
            case State.AWAY:
                actions += self._on_transfer_failed(now_s)
            case _:
                pass
        return actions

    def begin_amid(self, text: str, now_s: float) -> list[Action]:
        """Begin in the midst of a call that nothing is known of; in place of `begin`.

        The dialogue is asked for its first words too, because of what it expects; nobody hears
        them.

        Args:
            text: what is said instead.
            now_s: the present.
        """
        self._has_played = True
        self._machine.on_judged()
        reply = self._floor.mouth.begin(None, now_s)
        reply.is_read = True
        return [*self._floor.mouth.on_piece(reply, base.Say(text)), ev.Greet(_NOBODY)]

    def drain(self, name: str, now_s: float) -> list[Action]:
        """Let be heard what another worker may have queued at the network, see Playout."""
        return [ev.Write(command) for command in self.playout.drain(name, now_s)]

    def snapshot(self, now_s: float, wall_s: float) -> Snapshot:
        """Take down where it stands, see `restore`."""
        return take_snapshot(
            self._floor,
            now_s,
            wall_s,
            is_machine=self._is_machine,
            has_apologised=self._own_words.has_apologised,
        )

    @property
    def open_since_s(self) -> float | None:
        """Since when the caller has said what no snapshot holds yet; None: all is in it."""
        return self._ear.open_since_s

    def on_event(self, event: Event, now_s: float) -> list[Action]:
        """Take an event; return what is to be done, in order."""
        if self.state is State.ENDED:
            return []
        floor = self._floor
        match event:
            case ev.FrameScored():
                return self.on_frame(event.probability, event.level_dbfs, now_s)
            case ev.StreamStarted():
                return self._on_stream(event, now_s)
            case ev.CheckpointPlayed():
                self.playout.on_played(event.name)
                return floor.settle(now_s)
            case ev.AudioCleared():
                took_s = self.playout.on_cleared(now_s)
                return [] if took_s is None else [Measure(Stage.CLEAR_ACK, took_s)]
            case ev.DigitPressed():
                if self.state in _NO_TURNS:
                    return []
                digit = base.Digit(event.digit)
                return [Count(Tally.TURN_DTMF), *self._hearing.on_key(digit, now_s)]
            case ev.Transcribed():
                return self._on_words(event.final, now_s)
            case ev.TranscriptGrew():
                if self._is_machine_speaking(event.partial.text, now_s):
                    return self._on_machine(now_s)
                return self._hearing.on_partial(event.partial, now_s)
            case ev.TurnScored():
                return self._hearing.on_score(event, now_s)
            case ev.DigitsGathered():
                if self.state is not State.AWAY:
                    return []
                return [Count(Tally.TURN_DTMF), *floor.ask(base.Digits(event.digits), now_s)]
            case ev.MachineJudged():
                self._machine.on_judged()
                return self._on_machine(now_s) if event.is_machine else []
            case ev.TransferFailed():
                return self._on_transfer_failed(now_s) if self.state is State.AWAY else []
            case ev.ReplyPiece():
                return floor.on_piece(event, now_s)
            case ev.ReplyRead():
                return floor.on_reply_read(event.generation, now_s)
            case ev.ReplyFailed():
                return self._own_words.on_reply_failed(event.generation, now_s)
            case ev.SentenceAudio():
                return floor.on_audio(event, now_s)
            case ev.SentenceFailed():
                return self._own_words.on_sentence_failed(event.name, now_s)
            case ev.HearingFailed():
                return self._own_words.on_hearing_failed(now_s)
            case ev.CallOver():
                return floor.end(event.reason, by_agent=False)
            case _:
                assert_never(event)

    def due(self, now_s: float, *, more_s: float = 0.0) -> Due:
        """Return the audio to be written now, see Playout."""
        return self.playout.due(now_s, more_s=more_s)

    def on_audio_written(self, now_s: float) -> list[Action]:
        """Note that agent audio has just been written to the wire."""
        actions: list[Action] = []
        started_s = self._floor.started_s
        if not self._has_played and started_s is not None:
            self._has_played = True
            actions.append(Measure(Stage.FIRST_AUDIO, now_s - started_s))
        return actions + self._floor.on_written(now_s)

    def on_tick(self, now_s: float) -> list[Action]:
        """Do what is due by the clock alone."""
        if self.state in (State.ENDED, State.WAITING):
            return []
        actions: list[Action] = []
        if self.playout.give_up_drain(now_s):
            actions.append(ev.Write(ClearAudio(self.playout.stream_id)))
        if self.playout.give_up_clear(now_s):
            actions.append(Count(Tally.CLEAR_TIMEOUT))
        actions += self._on_bounds(now_s)
        if self._floor.end_reason is not None:
            return actions
        for step in (
            self._floor.settle,
            self._hearing.on_overdue,
            self._own_words.fill,
            self._on_silence,
        ):
            actions += step(now_s)
            if self._floor.end_reason is not None:
                break
        return actions

    def _on_bounds(self, now_s: float) -> list[Action]:
        """End what has lasted too long."""
        floor = self._floor
        if self.state is State.AWAY:
            return self._on_away_too_long(now_s) if now_s - self._floor.left_s > _AWAY_S else []
        if now_s - floor.media_s > self._rules.media_lost_s:
            return floor.end(EndReason.CARRIER_LOST, by_agent=False)
        lasted_s = 0.0 if floor.started_s is None else now_s - floor.started_s
        over_s = lasted_s - self._rules.max_call_s
        if over_s > _LAST_WORDS_S:
            return floor.end(EndReason.TIME_LIMIT, by_agent=True)
        if over_s > 0 and self.state is not State.CLOSING:
            end = ev.End(EndReason.TIME_LIMIT, by_agent=True)
            return self._own_words.say_last(self._rules.time_limit_text, end, now_s)
        return []

    def _on_silence(self, now_s: float) -> list[Action]:
        if self.state is not State.LISTENING:
            return []
        silence = self._floor.silence.due(self._ear.expectation, now_s)
        if silence is None:
            return []
        return [Count(Tally.TURN_SILENCE), *self._floor.ask(silence, now_s)]

    # --- the wire ----------------------------------------------------------------------------

    def _on_stream(self, event: ev.StreamStarted, now_s: float) -> list[Action]:
        floor = self._floor
        if floor.started_s is not None:
            if self.playout.is_open:
                self.playout.reopen(event.stream_id, lost_s=floor.media_s)
            else:
                self.playout.open(event.stream_id)
            floor.media_s = now_s
            return []
        floor.started_s = floor.media_s = now_s
        self.playout.open(event.stream_id)
        if self._is_machine:
            return self._hold(now_s)
        floor.move(State.THINKING)
        return []

    def on_frame(self, probability: float, level_dbfs: float, now_s: float) -> list[Action]:
        """Take 20 ms of the caller: `FrameScored` without the event, as there are so many.

        Args:
            probability: of speech in it, 0..1.
            level_dbfs: its level in dB of full scale.
            now_s: when it came.
        """
        floor = self._floor
        if floor.state is State.ENDED:
            return []
        floor.media_s = now_s
        if not self.playout.is_open and floor.state not in (State.WAITING, State.AWAY):
            self.playout.open(self.playout.stream_id)  # the network has given the caller back
        if floor.state is State.HOLDING:
            is_over = self._machine.is_over(level_dbfs, now_s)
            return self._leave_message(now_s) if is_over else []
        actions = self._hearing.on_frame(probability, level_dbfs, now_s)
        utterance = self._ear.in_hand
        if utterance is not None and floor.started_s is not None:
            onset_s = utterance.onset_s - floor.started_s
            if self._machine.is_machine_by_sound(onset_s=onset_s, speech_s=utterance.speech_s):
                return actions + self._on_machine(now_s)
        return actions

    def _on_words(self, final: base.Final, now_s: float) -> list[Action]:
        if self._is_machine_speaking(final.text, now_s):
            return self._on_machine(now_s)
        self._machine.on_utterance()
        return self._hearing.on_final(final, now_s)

    # --- the network has the caller ----------------------------------------------------------

    def _on_transfer_failed(self, now_s: float) -> list[Action]:
        """The caller is the agent's again: say so, and go on."""
        if self._own_words.has_apologised:
            return self._floor.end(EndReason.PROVIDER_FAILED, by_agent=True)
        return self._own_words.say(self._rules.failure.transfer_failed, now_s)

    def _on_away_too_long(self, now_s: float) -> list[Action]:
        if now_s - self._floor.media_s > self._rules.media_lost_s:
            return self._floor.end(EndReason.CARRIER_LOST, by_agent=False)
        return self._floor.ask(base.Digits(""), now_s)

    # --- machines ----------------------------------------------------------------------------

    def _is_machine_speaking(self, text: str, now_s: float) -> bool:
        started_s = self._floor.started_s
        at_s = 0.0 if started_s is None else now_s - started_s
        return self._machine.is_machine_by_words(text, at_s=at_s)

    def _on_machine(self, now_s: float) -> list[Action]:
        """A machine has answered."""
        self._machine.on_judged()
        rules = self._rules.machine
        if rules.then is OnMachine.IGNORE or self.state in (State.CLOSING, State.HOLDING):
            return []
        self._is_machine = True
        if rules.then is OnMachine.HANG_UP or not rules.message or self.state is State.AWAY:
            silence = self._floor.cut_reply(now_s)
            return [*silence, *self._floor.end(EndReason.MACHINE, by_agent=True)]
        return [] if self.state is State.WAITING else self._hold(now_s)

    def _hold(self, now_s: float) -> list[Action]:
        """Fall silent until the machine has said its piece."""
        floor = self._floor
        actions = [*floor.cut_reply(now_s), *floor.stop_listening()]
        floor.move(State.HOLDING)
        self._machine.begin_wait(now_s)
        return actions

    def _leave_message(self, now_s: float) -> list[Action]:
        end = ev.End(EndReason.MACHINE, by_agent=True)
        return self._own_words.say_message(self._rules.machine.message, end, now_s)
