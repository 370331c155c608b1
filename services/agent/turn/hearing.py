"""PURE. What the caller's speech and words do to the conversation.

An interruption has two steps. As soon as the caller's speech is confirmed the agent falls silent
(clearAudio overtakes all audio) and the state is PAUSED. Words or sheer length, as soon as they are
there, make it a turn: what was not heard is cut from the history. A cough, a click, a hum or an
"mm-hm" does not: the agent goes on from the word that was cut.

The end of a turn has two as well. On a likely end an answer is begun and kept back; once the end is
decided and the words are what they seemed, it goes out at once. A caller who goes on never knows.
"""

from __future__ import annotations

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.barge_in import Verdict
from services.agent.turn.ear import Utterance
from services.agent.turn.events import Action, Count, Tally
from services.agent.turn.floor import Floor
from services.agent.turn.reply import Reply
from services.agent.turn.rules import TurnTaking
from services.agent.turn.stages import TurnClock
from services.agent.turn.states import State
from services.agent.turn.vad import SpeechEnded, SpeechStarted

_LEAST_VERDICT_S = 0.4
"""A recogniser gets this long after the end of speech, whatever `words_wait_s` says."""
_SETTLED_WAIT_S = 1.0
"""The longest wait for a Final that can hardly say anything new: words that are settled count."""
_VOICE_BACK_FRAMES = 3
_NOT_UNDERSTOOD = base.Final("", is_understood=False, confidence=0.0)
_DEAF = (State.WAITING, State.HOLDING, State.AWAY, State.CLOSING, State.ENDED)


class Hearing:
    """The caller's side of one conversation.

    Args:
        floor: the conversation.
        rules: turn-taking.
    """

    def __init__(self, floor: Floor, rules: TurnTaking) -> None:
        self._floor = floor
        self._ear = floor.ear
        self._mouth = floor.mouth
        self.rules = rules
        self._barge_in = floor.barge_in
        self._was_audible = False
        self._has_asked = False
        self._voice_back = 0
        self._last_end_s: float | None = None

    # --- sound -------------------------------------------------------------------------------

    def on_frame(self, probability: float, level_dbfs: float, now_s: float) -> list[Action]:
        """Take 20 ms of the caller, see Session."""
        floor = self._floor
        agent_dbfs = self._mouth.playout.level_dbfs(now_s)
        utterance = self._ear.in_hand if floor.state is State.PAUSED else None
        is_passing = utterance is not None and self._barge_in.is_passing(
            utterance.speech_s, utterance.text
        )
        speech = self._ear.on_frame(
            probability, level_dbfs, agent_dbfs, now_s, is_passing=is_passing
        )
        if speech is None and self._ear.in_hand is None:
            return []
        match speech:
            case SpeechEnded():
                return self._on_speech_ended(speech, now_s)
            case SpeechStarted() if floor.state not in _DEAF:
                self._ear.begin(speech, now_s)
                floor.silence.on_caller()
                return [*self._on_speech(now_s), ev.BeginListening()]
            case _:
                return self._on_speech(now_s)

    def _on_speech(self, now_s: float) -> list[Action]:
        """Do what the utterance in hand asks for, its newest frame being sound or pause."""
        floor, utterance = self._floor, self._ear.in_hand
        if utterance is None or utterance.is_void or floor.state in _DEAF:
            return []
        if floor.state is State.PAUSED:
            verdict = self._barge_in.judge_sound(utterance.speech_s, utterance.text)
            return self._interrupt(now_s) if verdict is Verdict.INTERRUPTION else []
        if floor.is_answering:
            return self._on_speech_over_agent(utterance, now_s)
        if floor.state is not State.HEARING:
            floor.move(State.HEARING)
        return self._on_likely_end(now_s)

    def _on_speech_over_agent(self, utterance: Utterance, now_s: float) -> list[Action]:
        is_sound = self._ear.quiet_s(now_s) == 0
        is_enough = self._ear.voiced_frames >= self._barge_in.frames_needed(now_s)
        if not (is_sound and is_enough and self._mouth.may_be_stopped(now_s)):
            return []
        return self._pause(now_s, onset_s=utterance.onset_s)

    def _pause(self, now_s: float, *, onset_s: float | None) -> list[Action]:
        self._has_asked = self._mouth.has_asked(now_s)
        self._floor.move(State.PAUSED)
        actions = self._floor.fall_silent(now_s, onset_s=onset_s)
        self._was_audible = bool(actions)
        return actions

    def _on_speech_ended(self, speech: SpeechEnded, now_s: float) -> list[Action]:
        floor, utterance = self._floor, self._ear.end(speech)
        if utterance is None:
            return []
        wait_s, are_words_known = self.rules.transcript_wait_s, self._ear.are_known(utterance)
        utterance.due_s = now_s + (min(wait_s, _SETTLED_WAIT_S) if are_words_known else wait_s)
        match floor.state:
            case State.HEARING:
                if self._mouth.reply is None:
                    floor.clock = TurnClock()
                floor.move(State.THINKING)
            case State.PAUSED:
                floor.clock = TurnClock()
                wait_s = self.rules.barge_in.words_wait_s
                utterance.due_s = max(speech.ended_s + wait_s, now_s + _LEAST_VERDICT_S)
            case _:
                utterance.is_over_agent = True
                return [ev.EndListening()]
        floor.clock.speech_end_s, floor.clock.settled_s = speech.ended_s, now_s
        return [ev.EndListening()]

    # --- a likely end ------------------------------------------------------------------------

    def on_score(self, event: ev.TurnScored, now_s: float) -> list[Action]:
        """Take the end-of-turn model's word on the present pause."""
        self._ear.on_score(event)
        is_open = self._floor.state is State.HEARING and self._ear.in_hand is not None
        return self._on_likely_end(now_s) if is_open else []

    def _on_likely_end(self, now_s: float) -> list[Action]:
        """Begin the answer when the caller has most likely ended; drop it when not after all."""
        if self._mouth.reply is not None:
            is_sound = self._ear.quiet_s(now_s) == 0
            self._voice_back = self._voice_back + 1 if is_sound else 0
            return self._drop_guess(now_s) if self._voice_back >= _VOICE_BACK_FRAMES else []
        number = self._ear.score_due(now_s)
        actions: list[Action] = [] if number is None else [ev.ScoreTurn(number)]
        words = self._ear.likely_words(now_s)
        is_time = words is not None and self._ear.awaited is None
        if is_time and words is not None and self.rules.endpointing.is_speculative:
            actions += self._guess(words, now_s)
        return actions

    def _guess(self, words: str, now_s: float) -> list[Action]:
        heard = base.Words(self._floor.unanswered.joined(words), is_understood=True)
        self._voice_back = 0
        self._floor.clock = TurnClock()
        reply = self._mouth.begin(heard, now_s, is_speculative=True)
        history = (*self._floor.record.history, base.Message("caller", heard.text))
        return [ev.Ask(reply.generation, heard, is_speculative=True, history=history)]

    def _drop_guess(self, now_s: float) -> list[Action]:
        reply = self._mouth.reply
        if reply is None or not reply.is_speculative:
            return []
        self._floor.clock.piece_s = self._floor.clock.audio_s = None
        return self._floor.cut_reply(now_s)

    # --- words -------------------------------------------------------------------------------

    def on_partial(self, partial: base.Partial, now_s: float) -> list[Action]:
        """Take words of an utterance that goes on, or is not settled yet."""
        floor, utterance = self._floor, self._ear.on_partial(partial, now_s)
        if utterance is None or utterance.is_void:
            return []
        if floor.state is State.PAUSED:
            is_enough = self._barge_in.are_words_enough(partial.text, may_go_on=True)
            return self._interrupt(now_s) if is_enough else []
        if floor.state is not State.HEARING or utterance is not self._ear.in_hand:
            return []
        reply = self._mouth.reply
        if reply is None:
            return self._on_likely_end(now_s)
        words = base.Words(floor.unanswered.joined(partial.text), is_understood=True)
        return [] if reply.is_guess_of(words) else self._drop_guess(now_s)

    def on_final(self, final: base.Final, now_s: float) -> list[Action]:
        """Take the settled words of the utterance that has waited for them the longest."""
        floor, utterance = self._floor, self._ear.on_final()
        if utterance is None:
            return self._on_stray_words(final, now_s)
        if utterance.is_void or floor.state in _DEAF:
            return []
        return self._on_words(utterance, final, now_s)

    def _on_stray_words(self, final: base.Final, now_s: float) -> list[Action]:
        """Take words that nobody asked for; they count while the caller is speaking."""
        floor, actions = self._floor, list[Action]()
        if floor.state is State.PAUSED and self._barge_in.are_words_enough(final.text):
            actions = self._interrupt(now_s)
        if final.is_understood and floor.state is State.HEARING:
            floor.unanswered.keep(final.text, floor.since_start_ms(now_s))
        return actions

    def on_overdue(self, now_s: float) -> list[Action]:
        """Judge an utterance whose words do not come by what is known of it."""
        utterance = self._ear.overdue(now_s)
        if utterance is None or self._floor.state in _DEAF:
            return []
        partial = utterance.partial
        if partial is not None and partial.text and (partial.is_settled or partial.is_end):
            utterance.is_void = True
            final = base.Final(partial.text, is_understood=True, confidence=0.5)
            return self._on_words(utterance, final, now_s)
        return self._on_words(utterance, _NOT_UNDERSTOOD, now_s)

    def _on_words(self, utterance: Utterance, final: base.Final, now_s: float) -> list[Action]:
        floor = self._floor
        if self._ear.in_hand is not None or self._ear.awaited is not None:
            return self._on_words_before_more(utterance, final, now_s)
        if floor.state is State.PAUSED:
            return self._on_verdict(utterance, final, now_s)
        if floor.is_answering:
            return self._on_words_over_agent(utterance, final, now_s)
        is_late = utterance.is_judged and not utterance.is_void and floor.state is State.LISTENING
        if is_late and not self._barge_in.are_words_enough(final.text):
            return []
        return self._take_turn(utterance, final, now_s)

    def _on_verdict(self, utterance: Utterance, final: base.Final, now_s: float) -> list[Action]:
        verdict = self._barge_in.judge_words(final, utterance.speech_s, has_asked=self._has_asked)
        if verdict is Verdict.PASSING:
            return self._resume(now_s)
        return [*self._interrupt(now_s), *self._take_turn(utterance, final, now_s)]

    def _on_words_before_more(
        self, utterance: Utterance, final: base.Final, now_s: float
    ) -> list[Action]:
        """Take the words of an utterance after which the caller went on: its turn is not over."""
        are_enough = self._barge_in.are_words_enough(final.text)
        is_passing = (self._floor.state is State.PAUSED or utterance.is_judged) and not are_enough
        if not final.is_understood or is_passing:
            return []
        actions = self._interrupt(now_s) if self._floor.state is State.PAUSED else []
        self._keep(utterance, final)
        return actions

    def _on_words_over_agent(
        self, utterance: Utterance, final: base.Final, now_s: float
    ) -> list[Action]:
        """Take words that are settled while an answer is on its way already."""
        are_enough = self._barge_in.are_words_enough(final.text)
        if utterance.is_over_agent or not self._mouth.may_be_stopped(now_s):
            if final.is_understood and not self._barge_in.is_backchannel(final.text):
                self._keep(utterance, final)
            return []
        is_noise = not final.text and utterance.speech_s < self.rules.noise_s
        if is_noise or (utterance.is_judged and not are_enough):
            return []
        actions = self._pause(now_s, onset_s=None)
        return [*actions, *self._interrupt(now_s), *self._take_turn(utterance, final, now_s)]

    def _keep(self, utterance: Utterance, final: base.Final) -> None:
        self._floor.unanswered.keep(final.text, self._floor.since_start_ms(utterance.onset_s))

    def _take_turn(self, utterance: Utterance, final: base.Final, now_s: float) -> list[Action]:
        """The caller's turn is over and settled: have it answered, if it was one."""
        floor = self._floor
        is_noise = not final.text and utterance.speech_s < self.rules.noise_s
        if is_noise and not floor.unanswered.has_words:
            return [*self._drop_guess(now_s), *floor.yield_turn(now_s)]
        floor.clock.final_s = now_s
        self._last_end_s = utterance.ended_s
        self._ear.on_turn()
        words = base.Words(final.text, final.is_understood, final.confidence)
        at_ms = floor.since_start_ms(utterance.onset_s)
        return floor.take_turn(final.text, at_ms, words, now_s)

    # --- interruption ------------------------------------------------------------------------

    def _interrupt(self, now_s: float) -> list[Action]:
        """The caller has taken the floor: cut the answer to what was heard of it.

        If nothing of it was, the caller goes on with the turn before, whose words are not lost.
        """
        floor, reply = self._floor, self._mouth.drop(now_s)
        actions: list[Action] = []
        if self._was_audible:
            actions.append(Count(Tally.INTERRUPTION_COMMITTED))
        self._was_audible = False
        if reply is not None:
            rewinds = not reply.is_heard and self._take_back(reply)
            actions.append(floor.abandon(reply, rewinds=rewinds))
        floor.move(State.HEARING if self._ear.in_hand is not None else State.THINKING)
        if self._ear.awaited is not None:
            self._ear.awaited.due_s = now_s + self.rules.transcript_wait_s
        return actions

    def _take_back(self, reply: Reply) -> bool:
        """Take the words that an unheard answer was to out of the history, for more to come.

        Not if tools were used for it: what they did is done, and would be done again.
        """
        if not isinstance(reply.answers, base.Words) or reply.has_used_tools:
            return False
        said = self._floor.record.take_back_caller()
        if said is None:
            return False
        self._floor.unanswered.put_back(*said)
        utterance = self._ear.in_hand
        if utterance is not None and self._last_end_s is not None:
            self._ear.on_went_on(utterance.onset_s - self._last_end_s)
        return True

    def _resume(self, now_s: float) -> list[Action]:
        self._mouth.playout.resume()
        self._floor.clock = TurnClock()
        self._floor.move(State.THINKING)
        if not self._was_audible:
            return []
        self._was_audible = False
        self._barge_in.on_false_pause(now_s)
        return [Count(Tally.INTERRUPTION_RESUMED)]

    def on_key(self, digit: base.Digit, now_s: float) -> list[Action]:
        """Take a key: it interrupts at once, but for what is spoken to its end."""
        floor = self._floor
        if floor.state is State.SPEAKING and self._mouth.is_held_to_end(now_s):
            floor.unanswered.keys.append(digit)
            return []
        actions: list[Action] = []
        if floor.state in (State.SPEAKING, State.PAUSED) and self._mouth.reply is not None:
            actions = [*floor.fall_silent(now_s), Count(Tally.INTERRUPTION_COMMITTED)]
        floor.silence.on_caller()
        if self._ear.in_hand is not None:
            self._ear.in_hand.is_void = True
        return [*actions, *floor.ask(digit, now_s)]
