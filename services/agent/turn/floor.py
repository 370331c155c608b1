"""PURE. The floor: who has it, the agent's answers, and what follows when they were heard.

Every answer has a generation number. What comes back for an abandoned generation is dropped, so
nothing stale is ever spoken.
"""

from __future__ import annotations

from collections import deque

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.barge_in import BargeIn
from services.agent.turn.ear import Ear
from services.agent.turn.events import Action, Count, Measure, Stage, Tally, Write
from services.agent.turn.mouth import Mouth
from services.agent.turn.playout import Playout
from services.agent.turn.record import Conversed
from services.agent.turn.reply import Deed, Reply
from services.agent.turn.rules import TurnTaking
from services.agent.turn.silence import SilenceWatch
from services.agent.turn.stages import TurnClock
from services.agent.turn.states import MOVES, IllegalMove, State
from services.agent.turn.unanswered import Unanswered
from shared.protocol.call import EndReason
from shared.protocol.telephony import ClearAudio

_REMEMBERED_REWINDS = 16
_PLAYED_LATE_S = 0.06
"""How much later than by our clock the network has played what it was sent."""
_AT_WORK = (State.THINKING, State.SPEAKING, State.CLOSING)


class Floor:
    """The state of one conversation, and the moves that both sides make in it.

    Args:
        ear: the caller's utterances.
        playout: the way to the caller's ear.
        rules: turn-taking.
        now_s: the present, monotonic; all later times are of the same clock.
    """

    def __init__(self, *, ear: Ear, playout: Playout, rules: TurnTaking, now_s: float) -> None:
        self.state = State.WAITING
        self.started_s: float | None = None
        self.media_s = self.left_s = now_s
        self.end_reason: EndReason | None = None
        self.is_gathering = False
        self.ear = ear
        self.mouth = Mouth(playout, rules)
        self.barge_in = BargeIn(rules.barge_in, rules.language)
        self.record = Conversed()
        self.unanswered = Unanswered()
        self.clock = TurnClock()
        self.silence = SilenceWatch(usual_s=rules.silence_s)
        self.rules = rules
        self._created_s = now_s
        self._rewound: deque[int] = deque(maxlen=_REMEMBERED_REWINDS)

    def move(self, after: State) -> None:
        """Make a move of the table.

        Raises:
            IllegalMove: the table does not have it.
        """
        if after not in MOVES[self.state]:
            raise IllegalMove(self.state, after)
        self.state = after

    def since_start_ms(self, at_s: float) -> int:
        """Return a time as the record has it: milliseconds from the first media."""
        started_s = self.started_s if self.started_s is not None else self._created_s
        return round(max(0.0, at_s - started_s) * 1000)

    @property
    def is_answering(self) -> bool:
        """Whether an answer is in hand that is wanted, audible already or not."""
        reply = self.mouth.reply
        return reply is not None and not reply.is_speculative

    # --- answers -----------------------------------------------------------------------------

    def ask(self, heard: base.Heard, now_s: float) -> list[Action]:
        """Have something answered, in place of any answer in hand."""
        actions = self.cut_reply(now_s)
        if self.state is not State.THINKING:
            self.move(State.THINKING)
        if not isinstance(heard, base.Words):
            self.clock = TurnClock()
        self.clock.piece_s = self.clock.audio_s = None
        reply = self.mouth.begin(heard, now_s)
        return [*actions, ev.Ask(reply.generation, heard, history=tuple(self.record.history))]

    def cut_reply(self, now_s: float) -> list[Action]:
        """End the answer in hand, audible or not; nothing where there is none."""
        reply = self.mouth.reply
        if reply is None:
            return []
        actions = self.fall_silent(now_s)
        self.mouth.drop(now_s)
        if reply.is_speculative:
            actions.append(Count(Tally.SPECULATION_DROPPED))
        return [*actions, self.abandon(reply, rewinds=reply.is_speculative)]

    def fall_silent(self, now_s: float, *, onset_s: float | None = None) -> list[Action]:
        """Stop the caller's playback and keep what was not heard.

        Args:
            now_s: the present.
            onset_s: when the speech that asks for it began, None where nobody spoke.

        Returns:
            nothing if nothing was audible.
        """
        playout = self.mouth.playout
        if not playout.pause(now_s):
            return []
        actions: list[Action] = [Write(ClearAudio(playout.stream_id))]
        if onset_s is not None:
            actions.append(Measure(Stage.BARGE_IN, max(0.0, now_s - onset_s)))
        return actions

    def abandon(self, reply: Reply, *, rewinds: bool) -> Action:
        """Let go of an answer for good: note what was heard of it, end the work on it."""
        self.remember(reply, is_interrupted=True)
        if rewinds:
            self._rewound.append(reply.generation)
        return ev.Abandon(reply.generation, rewinds)

    def remember(self, reply: Reply, *, is_interrupted: bool) -> None:
        """Put what was heard of an answer into history and record."""
        self.record.agent(
            reply.text,
            self.since_start_ms(reply.at_s if reply.at_s is not None else self.media_s),
            heard_s=reply.heard_s,
            is_interrupted=is_interrupted,
            latency_ms=reply.latency_ms,
        )

    # --- what comes of an answer -------------------------------------------------------------

    def on_piece(self, event: ev.ReplyPiece, now_s: float) -> list[Action]:
        """Take a piece of an answer."""
        piece, reply = event.piece, self.mouth.reply
        is_ours = reply is not None and reply.generation == event.generation
        if isinstance(piece, base.Expect):
            if is_ours and reply is not None and reply.is_speculative:
                reply.expectation = piece.expectation
                return []
            # Holds whatever became of the words around it: the dialogue has moved on.
            return [] if event.generation in self._rewound else self.expect(piece.expectation)
        if isinstance(piece, base.ToolUsed) and is_ours and reply is not None:
            reply.has_used_tools = True
        if isinstance(piece, base.ToolUsed | base.Usage):
            return [ev.Note(piece)]  # it happened, whatever became of the answer
        if reply is None or not is_ours or reply.is_read:
            return []
        if isinstance(piece, base.Say | base.Spoken) and self.clock.piece_s is None:
            self.clock.piece_s = now_s
        if isinstance(piece, base.Spoken) and piece.ulaw and self.clock.audio_s is None:
            self.clock.audio_s = now_s
        return self._with_language(self.mouth.on_piece(reply, piece))

    def _with_language(self, actions: list[Action]) -> list[Action]:
        for action in actions:
            if isinstance(action, ev.ChangeLanguage):
                self.ear.language = action.language
                self.barge_in.speak(action.language)
        return actions

    def expect(self, expectation: base.Expectation) -> list[Action]:
        """Expect something else of the caller from now on."""
        self.ear.expectation = expectation
        return [ev.ListenFor(expectation)]

    def on_audio(self, event: ev.SentenceAudio, now_s: float) -> list[Action]:
        """Take a sentence's audio."""
        is_wanted = self.mouth.playout.add_audio(
            event.name, event.ulaw, level_dbfs=event.level_dbfs, is_last=event.is_last
        )
        is_filler = self.mouth.is_filler(event.name)
        if is_wanted and event.ulaw and not is_filler and self.clock.audio_s is None:
            self.clock.audio_s = now_s
        return self.settle(now_s) if event.is_last else []

    def on_reply_read(self, generation: int, now_s: float) -> list[Action]:
        """The brain has given the whole of an answer."""
        reply = self.mouth.reply
        if reply is not None and reply.generation == generation:
            reply.is_read = True
        return self.settle(now_s)

    def on_written(self, now_s: float) -> list[Action]:
        """Note that audio has just been written; the first of an answer closes its turn's clock."""
        reply, newest = self.mouth.reply, self.mouth.playout.newest_sent
        actions: list[Action] = []
        if reply is not None:
            if reply.at_s is None:
                reply.at_s = now_s
            if not reply.is_measured and newest not in reply.fillers:
                reply.is_measured = True
                measures = self.clock.measures(now_s)
                reply.latency_ms = {m.stage.value: round(m.seconds * 1000, 1) for m in measures}
                actions += measures
                self.clock = TurnClock()
        if self.state is State.THINKING:
            self.move(State.SPEAKING)
        return actions

    def settle(self, now_s: float) -> list[Action]:
        """Note what was heard; do what was to follow; move on when an answer was heard whole."""
        self.mouth.note_heard(now_s)
        reply = self.mouth.reply
        if reply is None or reply.is_speculative or self.state not in _AT_WORK:
            return []
        if reply.is_closing:
            is_begun = reply.is_own or reply.at_s is not None or not self.mouth.playout.has_unplayed
            if is_begun and self.state is not State.CLOSING:
                self.move(State.CLOSING)
            if self.mouth.playout.is_audible(now_s - _PLAYED_LATE_S):
                # The last words were heard, but not the silence behind them: hanging up cuts it.
                return []
        actions: list[Action] = []
        while (step := reply.next_step()) is not None:
            if not isinstance(step, ev.SendKeys):
                return [*actions, *self._finish_with(step, now_s)]
            actions.append(step)
        if self.mouth.is_done:
            self.mouth.reply = None
            self.remember(reply, is_interrupted=False)
            actions += self.yield_turn(now_s)
        return actions

    def _finish_with(self, deed: Deed, now_s: float) -> list[Action]:
        """Do the last thing of an answer: it ends the call or leaves the caller to the network."""
        reply = self.mouth.drop(now_s)
        if reply is not None:
            self.remember(reply, is_interrupted=False)
        if isinstance(deed, ev.End):
            return self.end(deed.reason, by_agent=deed.by_agent)
        self.is_gathering = isinstance(deed, ev.LeaveToGather)
        if self.is_gathering:
            self.mouth.playout.leave()
        self.left_s = now_s
        self.move(State.AWAY)
        return [*self.stop_listening(), deed]

    def yield_turn(self, now_s: float) -> list[Action]:
        """The agent has no more to say: the floor is whose it was meanwhile, or the caller's."""
        utterance = self.ear.in_hand
        if utterance is not None and not utterance.is_void:
            return self._move_unless_there(State.HEARING)
        if self.ear.awaited is not None:
            return self._move_unless_there(State.THINKING)
        if self.unanswered.keys:
            keys, self.unanswered.keys = self.unanswered.keys, []
            return [action for key in keys for action in self.ask(key, now_s)]
        if self.unanswered.has_words:
            return self.take_turn("", 0, base.Words("", is_understood=True), now_s)
        if self.state is not State.LISTENING:
            self.silence.begin(now_s)
        return self._move_unless_there(State.LISTENING)

    def _move_unless_there(self, state: State) -> list[Action]:
        if self.state is not state:
            self.move(state)
        return []

    def take_turn(self, text: str, at_ms: int, words: base.Words, now_s: float) -> list[Action]:
        """Have the caller's words answered, with those before that were not.

        Args:
            text: the newest words.
            at_ms: when they began.
            words: what is known of them besides.
            now_s: the present.
        """
        is_understood = words.is_understood or self.unanswered.has_words
        whole, began_ms = self.unanswered.take(text, at_ms)
        self.record.caller(whole, began_ms, is_understood=is_understood)
        tally = Tally.TURN_UNDERSTOOD if is_understood else Tally.TURN_NOT_UNDERSTOOD
        heard = base.Words(whole, is_understood, words.confidence)
        reply = self.mouth.reply
        if reply is not None and reply.is_guess_of(heard):
            return [Count(tally), *self._confirm(reply, now_s)]
        return [Count(tally), *self.ask(heard, now_s)]

    def _confirm(self, reply: Reply, now_s: float) -> list[Action]:
        actions: list[Action] = [Count(Tally.SPECULATION_USED)]
        actions += self._with_language(self.mouth.confirm(reply, now_s))
        if reply.expectation is not None:
            actions += self.expect(reply.expectation)
        return [*actions, *self.settle(now_s)]

    # --- the end -----------------------------------------------------------------------------

    def stop_listening(self) -> list[Action]:
        """Pay no more attention to what the caller has said so far."""
        return [ev.EndListening()] if self.ear.ignore() else []

    def end(self, reason: EndReason, *, by_agent: bool) -> list[Action]:
        """End the conversation."""
        reply = self.mouth.drop(self.media_s)
        if reply is not None:
            self.remember(reply, is_interrupted=True)
        self.end_reason = reason
        self.move(State.ENDED)
        return [ev.Abandon(self.mouth.generation), ev.End(reason, by_agent=by_agent)]
