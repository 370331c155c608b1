"""PURE. One call's conversation: whose turn it is, what is said, what was heard.

`on_event` takes an event and returns what is to be done about it; `on_tick` is called each 20 ms
and returns what time alone brings. Neither waits, and neither knows of sockets or tasks.

Every answer has a generation number. What comes back for an abandoned generation is dropped, so
nothing stale is ever spoken.

An interruption has two steps. As soon as the caller's speech is confirmed the agent falls silent
(clearAudio overtakes all audio) and the session is PAUSED. When the utterance is settled, words
or sheer length make it a turn: what was not heard is cut from the history. A cough, a click or a
hum does not: the agent goes on from the word that was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, assert_never

from services.agent import events as ev
from services.agent.events import Action, Count, Event, Measure, Stage, Tally, Write
from services.agent.playout import Due, HeardSentence, Playout
from services.agent.providers import base
from services.agent.turn.rules import TurnTaking
from services.agent.turn.sentences import split_sentences
from services.agent.turn.stages import TurnClock
from services.agent.turn.vad import SpeechDetector, SpeechEnded, SpeechStarted
from shared.protocol.call import EndReason
from shared.protocol.telephony import ClearAudio


class State(StrEnum):
    """What the session is doing. `_NEXT` lists every move there is."""

    WAITING = "waiting"
    LISTENING = "listening"
    HEARING = "hearing"
    THINKING = "thinking"
    SPEAKING = "speaking"
    PAUSED = "paused"
    CLOSING = "closing"
    ENDED = "ended"


_NEXT: Final[dict[State, frozenset[State]]] = {
    # The worker knows of the call; the caller's audio is not there yet.
    State.WAITING: frozenset({State.THINKING, State.ENDED}),
    # It is the caller's turn and the caller is silent.
    State.LISTENING: frozenset({State.HEARING, State.THINKING, State.ENDED}),
    # The caller speaks.
    State.HEARING: frozenset({State.THINKING, State.ENDED}),
    # Words or an answer are being made; nothing is audible.
    State.THINKING: frozenset(
        {
            State.SPEAKING,
            State.LISTENING,
            State.HEARING,
            State.PAUSED,
            State.CLOSING,
            State.ENDED,
        }
    ),
    # The agent speaks.
    State.SPEAKING: frozenset(
        {State.PAUSED, State.LISTENING, State.THINKING, State.CLOSING, State.ENDED}
    ),
    # The agent fell silent because the caller spoke; whether that was a turn is open.
    State.PAUSED: frozenset({State.THINKING, State.ENDED}),
    # The last words are being played.
    State.CLOSING: frozenset({State.ENDED}),
    State.ENDED: frozenset(),
}


class IllegalMove(Exception):
    """The session was asked for a move that its table does not have: a bug."""

    def __init__(self, before: State, after: State) -> None:
        super().__init__(before, after)
        self.before = before
        self.after = after

    def __str__(self) -> str:
        return f"a session cannot move from {self.before} to {self.after}"


@dataclass(slots=True)
class _Reply:
    """An answer on its way: what the brain has said of it and what was heard so far."""

    generation: int
    is_read: bool = False
    ending: base.EndCall | None = None
    sentences: int = 0
    heard: list[str] = field(default_factory=list)
    at_s: float | None = None


class Session:
    """The conversation of one call.

    Args:
        detector: finds the caller's speech in scored frames.
        playout: the way to the caller's ear.
        rules: turn-taking.
        now_s: the present, monotonic; all later times are of the same clock.
    """

    def __init__(
        self, *, detector: SpeechDetector, playout: Playout, rules: TurnTaking, now_s: float
    ) -> None:
        self.state = State.WAITING
        self.playout = playout
        self.history: list[base.Message] = []
        self.transcript: list[dict[str, Any]] = []
        self.end_reason: EndReason | None = None
        self._detector = detector
        self._rules = rules
        self._created_s = now_s
        self._started_s: float | None = None
        self._media_s = now_s
        self._generation = 0
        self._reply: _Reply | None = None
        self._clock = TurnClock()
        self._onset_s = 0.0
        self._words_due_s: float | None = None
        self._speech_s = 0.0
        self._unanswered: list[str] = []
        self._expectation = base.Expectation()
        self._silent_since_s = now_s
        self._silences = 0
        self._is_listening = False
        self._has_played = False

    # --- entry points ------------------------------------------------------------------------

    def begin(self) -> list[Action]:
        """Start preparing the first words; call once, before any event."""
        self._reply = _Reply(self._next_generation())
        return [ev.Greet(self._reply.generation)]

    def on_event(self, event: Event, now_s: float) -> list[Action]:
        """Take an event; return what is to be done, in order."""
        if self.state is State.ENDED:
            return []
        match event:
            case ev.FrameScored():
                return self._on_frame(event, now_s)
            case ev.StreamStarted():
                return self._on_stream(event, now_s)
            case ev.CheckpointPlayed():
                self.playout.on_played(event.name)
                return self._settle_playout(now_s)
            case ev.AudioCleared():
                took_s = self.playout.on_cleared(now_s)
                return [] if took_s is None else [Measure(Stage.CLEAR_ACK, took_s)]
            case ev.DigitPressed():
                return self._on_digit(event, now_s)
            case ev.Transcribed():
                return self._on_words(event.final, now_s)
            case ev.ReplyPiece():
                return self._on_piece(event, now_s)
            case ev.ReplyRead():
                if self._reply is not None and self._reply.generation == event.generation:
                    self._reply.is_read = True
                return self._settle_playout(now_s)
            case ev.ReplyFailed():
                if self._reply is None or self._reply.generation != event.generation:
                    return []
                return self._end(EndReason.PROVIDER_FAILED, by_agent=False)
            case ev.SentenceAudio():
                self._on_sentence_audio(event, now_s)
                return self._settle_playout(now_s) if event.is_last else []
            case ev.SentenceFailed():
                if not self.playout.add_audio(event.name, b"", level_dbfs=-90.0, is_last=True):
                    return []
                return self._end(EndReason.PROVIDER_FAILED, by_agent=False)
            case ev.CallOver():
                return self._end(event.reason, by_agent=False)
            case (
                ev.TranscriptGrew()
                | ev.TurnScored()
                | ev.DigitsGathered()
                | ev.MachineJudged()
                | ev.TransferFailed()
            ):
                return []
            case _:
                assert_never(event)

    def due(self, now_s: float) -> Due:
        """Return the audio to be written now; the first of a turn closes its clock."""
        return self.playout.due(now_s)

    def on_audio_written(self, now_s: float) -> list[Action]:
        """Note that agent audio has just been written to the wire."""
        actions: list[Action] = []
        if not self._has_played and self._started_s is not None:
            self._has_played = True
            actions.append(Measure(Stage.FIRST_AUDIO, now_s - self._started_s))
        if self._reply is not None and self._reply.at_s is None:
            self._reply.at_s = now_s
            actions += self._clock.measures(now_s)
            self._clock = TurnClock()
        if self.state is State.THINKING:
            self._move(State.SPEAKING)
        return actions

    def on_tick(self, now_s: float) -> list[Action]:
        """Do what is due by the clock alone."""
        if self.state in (State.ENDED, State.WAITING):
            return []
        actions: list[Action] = []
        if self.playout.give_up_clear(now_s):
            actions.append(Count(Tally.CLEAR_TIMEOUT))
        if now_s - self._media_s > self._rules.media_lost_s:
            return actions + self._end(EndReason.CARRIER_LOST, by_agent=False)
        if self._started_s is not None and now_s - self._started_s > self._rules.max_call_s:
            return actions + self._end(EndReason.TIME_LIMIT, by_agent=True)
        actions += self._settle_playout(now_s)
        if self._words_due_s is not None and now_s >= self._words_due_s:
            actions += self._on_words(base.Final("", is_understood=False, confidence=0.0), now_s)
        if self.state is State.LISTENING:
            wait_s = self._expectation.silence_s or self._rules.silence_s
            if now_s - self._silent_since_s >= wait_s:
                actions += self._on_silence(now_s)
        return actions

    # --- the wire ----------------------------------------------------------------------------

    def _on_stream(self, event: ev.StreamStarted, now_s: float) -> list[Action]:
        if self._started_s is not None:
            if self.playout.is_open:
                self.playout.reopen(event.stream_id, lost_s=self._media_s)
            self._media_s = now_s
            return []
        self._started_s = self._media_s = self._silent_since_s = now_s
        self.playout.open(event.stream_id)
        self._move(State.THINKING)
        return []

    def _on_frame(self, event: ev.FrameScored, now_s: float) -> list[Action]:
        self._media_s = now_s
        speech = self._detector.on_frame(
            event.probability, event.level_dbfs, self.playout.level_dbfs(now_s), now_s
        )
        match speech:
            case None:
                return []
            case SpeechStarted():
                return self._on_speech_started(speech, now_s)
            case SpeechEnded():
                return self._on_speech_ended(speech, now_s)

    def _on_speech_started(self, speech: SpeechStarted, now_s: float) -> list[Action]:
        if self.state in (State.WAITING, State.CLOSING):
            return []
        self._onset_s = speech.onset_s
        self._words_due_s = None
        self._silences = 0
        self._is_listening = True
        actions: list[Action] = []
        if self._reply is not None:
            actions += self._silence_agent(now_s, onset_s=speech.onset_s)
            if self.state is not State.PAUSED:
                self._move(State.PAUSED)
        elif self.state is not State.HEARING:
            self._move(State.HEARING)
        return [*actions, ev.BeginListening()]

    def _silence_agent(self, now_s: float, *, onset_s: float | None) -> list[Action]:
        """Stop the caller's playback and keep what was not heard."""
        if not self.playout.pause(now_s):
            return []
        actions: list[Action] = [Write(ClearAudio(self.playout.stream_id))]
        if onset_s is not None:
            actions.append(Measure(Stage.BARGE_IN, max(0.0, now_s - onset_s)))
        return actions

    def _on_speech_ended(self, speech: SpeechEnded, now_s: float) -> list[Action]:
        if not self._is_listening:
            return []
        self._is_listening = False
        if self.state not in (State.HEARING, State.PAUSED):
            return [ev.EndListening()]
        self._speech_s = speech.ended_s - self._onset_s
        self._clock = TurnClock(speech_end_s=speech.ended_s, settled_s=now_s)
        self._words_due_s = now_s + self._rules.transcript_wait_s
        if self.state is State.HEARING:
            self._move(State.THINKING)
        return [ev.EndListening()]

    def _on_digit(self, event: ev.DigitPressed, now_s: float) -> list[Action]:
        if self.state in (State.WAITING, State.CLOSING):
            return []
        actions: list[Action] = [Count(Tally.TURN_DTMF)]
        if self.state in (State.SPEAKING, State.PAUSED):
            actions += self._silence_agent(now_s, onset_s=None)
            actions += self._commit_interruption(now_s)
        self._silences = 0
        self._clock = TurnClock()
        if self.state is not State.THINKING:
            self._move(State.THINKING)
        return [*actions, *self._ask(base.Digit(event.digit), now_s)]

    # --- the caller's words ------------------------------------------------------------------

    def _on_words(self, final: base.Final, now_s: float) -> list[Action]:
        if self._words_due_s is None:
            # The caller has gone on speaking, or the wait is over: keep words for the next turn.
            if final.is_understood and self.state in (State.HEARING, State.PAUSED):
                self._unanswered.append(final.text)
            return []
        self._words_due_s = None
        self._clock.final_s = now_s
        if self.state is State.CLOSING:
            return []
        if self.state is State.PAUSED:
            has_words = final.is_understood or bool(self._unanswered)
            if not has_words and self._speech_s < self._rules.barge_in.min_speech_s:
                return self._resume()
            actions = self._commit_interruption(now_s)
        else:
            is_noise = not final.text and self._speech_s < self._rules.noise_s
            if is_noise and not self._unanswered:
                # Unless a key was pressed meanwhile, whose answer is on its way.
                is_waiting = self.state is State.THINKING and self._reply is None
                return self._listen(now_s) if is_waiting else []
            actions = self._cut_reply(now_s)
        if self.state is not State.THINKING:
            self._move(State.THINKING)
        text = " ".join([*self._unanswered, final.text]).strip()
        is_understood = final.is_understood or bool(self._unanswered)
        self._unanswered.clear()
        if text:
            self.history.append(base.Message("caller", text))
        self._note("caller", text, self._onset_s, is_understood=is_understood)
        tally = Tally.TURN_UNDERSTOOD if is_understood else Tally.TURN_NOT_UNDERSTOOD
        words = base.Words(text, is_understood, final.confidence)
        return [*actions, Count(tally), *self._ask(words, now_s)]

    def _on_silence(self, now_s: float) -> list[Action]:
        self._silences += 1
        waited_s = now_s - self._silent_since_s
        self._clock = TurnClock()
        self._move(State.THINKING)
        silence = base.Silence(waited_s, self._silences)
        return [Count(Tally.TURN_SILENCE), *self._ask(silence, now_s)]

    def _ask(self, heard: base.Heard, now_s: float) -> list[Action]:
        actions = self._cut_reply(now_s)
        self._reply = _Reply(self._next_generation())
        return [*actions, ev.Ask(self._reply.generation, heard)]

    # --- interruption ------------------------------------------------------------------------

    def _commit_interruption(self, now_s: float) -> list[Action]:
        return [Count(Tally.INTERRUPTION_COMMITTED), *self._drop_reply(now_s)]

    def _cut_reply(self, now_s: float) -> list[Action]:
        """End the answer in hand, audible or not; nothing where there is none."""
        if self._reply is None:
            return []
        return [*self._silence_agent(now_s, onset_s=None), *self._drop_reply(now_s)]

    def _drop_reply(self, now_s: float) -> list[Action]:
        """Cut the answer in hand to what was heard of it."""
        heard = self.playout.discard(now_s)
        reply, self._reply = self._reply, None
        if reply is None:
            return []
        self._remember_reply(reply, heard, is_interrupted=True)
        return [ev.Abandon(reply.generation)]

    def _resume(self) -> list[Action]:
        self.playout.resume()
        self._clock = TurnClock()
        self._move(State.THINKING)
        return [Count(Tally.INTERRUPTION_RESUMED)]

    # --- the agent's words -------------------------------------------------------------------

    def _on_piece(self, event: ev.ReplyPiece, now_s: float) -> list[Action]:
        piece = event.piece
        if isinstance(piece, base.Expect):
            # Holds whatever became of the words around it: the dialogue has moved on.
            self._expectation = piece.expectation
            return [ev.ListenFor(piece.expectation)]
        reply = self._reply
        if reply is None or reply.generation != event.generation:
            return []
        match piece:
            case base.Say():
                if self._clock.piece_s is None:
                    self._clock.piece_s = now_s
                return [self._speak(reply, text) for text in split_sentences(piece.text)]
            case base.EndCall():
                reply.ending = piece
                return []
            case base.Transfer():
                # The carrier's transfer needs its REST side; until an agent has one, say goodbye.
                reply.ending = base.EndCall("transfer_unavailable")
                return []
            case (
                base.Spoken()
                | base.SendDigits()
                | base.GatherDigits()
                | base.SwitchLanguage()
                | base.ToolUsed()
                | base.Usage()
            ):
                return []
            case _:
                assert_never(piece)

    def _speak(self, reply: _Reply, text: str) -> Action:
        reply.sentences += 1
        name = f"{reply.generation}.{reply.sentences}"
        self.playout.add_sentence(name, reply.generation, text)
        return ev.Speak(name, reply.generation, text, is_first=reply.sentences == 1)

    def _on_sentence_audio(self, event: ev.SentenceAudio, now_s: float) -> None:
        is_wanted = self.playout.add_audio(
            event.name, event.ulaw, level_dbfs=event.level_dbfs, is_last=event.is_last
        )
        if is_wanted and event.ulaw and self._clock.audio_s is None:
            self._clock.audio_s = now_s

    def _settle_playout(self, now_s: float) -> list[Action]:
        """Note what was heard, and move on when an answer was heard to its end."""
        reply = self._reply
        for sentence in self.playout.take_heard(now_s):
            if reply is not None and sentence.generation == reply.generation:
                reply.heard.append(sentence.text)
        if reply is None or not reply.is_read:
            return []
        if reply.ending is not None and self.state in (State.SPEAKING, State.THINKING):
            self._move(State.CLOSING)
        if self.playout.has_unplayed or self.state in (State.WAITING, State.PAUSED):
            return []
        self._reply = None
        self._remember_reply(reply, [], is_interrupted=False)
        if reply.ending is not None:
            return self._end(EndReason.AGENT_HUNG_UP, by_agent=True)
        if self.state in (State.SPEAKING, State.THINKING) and self._words_due_s is None:
            return self._listen(now_s)
        return []

    def _listen(self, now_s: float) -> list[Action]:
        self._move(State.LISTENING)
        self._silent_since_s = now_s
        return []

    # --- the record --------------------------------------------------------------------------

    def _remember_reply(
        self, reply: _Reply, cut: Sequence[HeardSentence], *, is_interrupted: bool
    ) -> None:
        text = " ".join([*reply.heard, *(sentence.text for sentence in cut)])
        if not text:
            return
        self.history.append(base.Message("agent", text))
        at_s = reply.at_s if reply.at_s is not None else self._media_s
        self._note("agent", text, at_s, is_interrupted=is_interrupted)

    def _note(self, who: str, text: str, at_s: float, **more: bool) -> None:
        started_s = self._started_s if self._started_s is not None else self._created_s
        at_ms = round(max(0.0, at_s - started_s) * 1000)
        self.transcript.append({"who": who, "text": text, "at_ms": at_ms, **more})

    # --- moving ------------------------------------------------------------------------------

    def _end(self, reason: EndReason, *, by_agent: bool) -> list[Action]:
        if self._reply is not None:
            reply, self._reply = self._reply, None
            heard = self.playout.discard(self._media_s)
            self._remember_reply(reply, heard, is_interrupted=True)
        self.end_reason = reason
        self._move(State.ENDED)
        return [ev.Abandon(self._generation), ev.End(reason, by_agent=by_agent)]

    def _next_generation(self) -> int:
        self._generation += 1
        return self._generation

    def _move(self, after: State) -> None:
        if after not in _NEXT[self.state]:
            raise IllegalMove(self.state, after)
        self.state = after
