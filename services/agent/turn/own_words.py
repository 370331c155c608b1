"""PURE. What the session says by itself: fillers, apologies, last words, a machine's message.

All but the message are prepared: they must be there when providers are slow or have failed.
"""

from __future__ import annotations

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.events import Action
from services.agent.turn.floor import Floor
from services.agent.turn.reply import Deed, Reply
from services.agent.turn.rules import OnFailure, TurnTaking
from services.agent.turn.states import State
from shared.protocol.call import EndReason

_AGAIN_S = 1.5
"""Silence borne after the agent's last sound before a filler."""
_MOST_FILLERS = 4
_NO_TURNS = (State.WAITING, State.HOLDING, State.AWAY, State.CLOSING, State.ENDED)


class OwnWords:
    """The words of a session's own.

    Args:
        floor: the conversation.
        rules: the texts, and what follows them.
    """

    def __init__(self, floor: Floor, rules: TurnTaking) -> None:
        self._floor = floor
        self._mouth = floor.mouth
        self.rules = rules
        self.has_apologised = False
        self._sound_s = self._waited_since_s = 0.0
        self._filled = 0

    # --- while an answer is slow -------------------------------------------------------------

    def fill(self, now_s: float) -> list[Action]:
        """Bridge the wait for a slow answer, or for the words that it is to answer.

        After a filler, or in the midst of an answer, more silence is borne than before its first
        sound: a second filler at once would only tell of trouble.
        """
        if self._mouth.playout.has_sent:
            self._sound_s = now_s
            return []
        since_s = self._waits_since_s()
        if since_s is None:
            return []
        if since_s != self._waited_since_s:
            self._waited_since_s, self._filled = since_s, 0
        after_s, quiet_s = self.rules.filler.after_s, now_s - since_s
        if self._sound_s > since_s:
            after_s, quiet_s = max(after_s, _AGAIN_S), now_s - self._sound_s
        if quiet_s < after_s or self._filled >= _MOST_FILLERS:
            return []
        self._filled += 1
        return self._mouth.fill(self._mouth.reply)

    def _waits_since_s(self) -> float | None:
        """Return since when the caller waits for the agent; None where the caller does not."""
        floor, reply = self._floor, self._mouth.reply
        if floor.state not in (State.THINKING, State.SPEAKING):
            return None
        if reply is None:
            return floor.ear.awaited.ended_s if floor.ear.awaited is not None else None
        is_whole = reply.is_read and not self._mouth.playout.has_unplayed
        if is_whole or reply.is_speculative or not reply.may_fill:
            return None
        speech_end_s = floor.clock.speech_end_s
        return reply.asked_s if speech_end_s is None else speech_end_s

    # --- an answer of the session's own ------------------------------------------------------

    def say(self, text: str, now_s: float) -> list[Action]:
        """Say something in the agent's place; the talk goes on."""
        actions = self._floor.cut_reply(now_s)
        reply = self._mouth.begin(None, now_s)
        reply.is_read = True
        self._floor.move(State.THINKING)
        return [*actions, self._mouth.say_prepared(reply, text)]

    def say_last(self, text: str, end: ev.End, now_s: float) -> list[Action]:
        """Say something that nothing interrupts, and end the call."""
        if not text or self._floor.state is State.AWAY:
            return [*self._floor.cut_reply(now_s), *self._end(end)]
        actions, reply = self._begin_last(now_s)
        actions.append(self._mouth.say_prepared(reply, text, is_interruptible=False))
        reply.then(end)
        return actions

    def say_message(self, text: str, end: ev.End, now_s: float) -> list[Action]:
        """Have a whole message spoken that nothing interrupts, and end the call."""
        actions, reply = self._begin_last(now_s)
        say = base.Say(text, is_interruptible=False)
        actions += self._mouth.on_piece(reply, say)
        reply.then(end)
        return actions

    def _begin_last(self, now_s: float) -> tuple[list[Action], Reply]:
        actions = [*self._floor.cut_reply(now_s), *self._floor.stop_listening()]
        reply = self._mouth.begin(None, now_s, is_own=True)
        reply.is_read = True
        self._floor.move(State.CLOSING)
        return actions, reply

    def _end(self, end: ev.End) -> list[Action]:
        return self._floor.end(end.reason, by_agent=end.by_agent)

    # --- failure -----------------------------------------------------------------------------

    def on_reply_failed(self, generation: int, now_s: float) -> list[Action]:
        """The brain broke off. What it gave stands; an answer that leads to an end is whole."""
        reply = self._mouth.reply
        if reply is None or reply.generation != generation or reply.is_read:
            return []
        if not (reply.last_deed is None or isinstance(reply.last_deed, ev.SendKeys)):
            return self._floor.on_reply_read(generation, now_s)
        return self._fail(reply, now_s)

    def on_sentence_failed(self, name: str, now_s: float) -> list[Action]:
        """No voice could speak a sentence."""
        reply = self._mouth.reply
        if not self._mouth.playout.is_making(name):
            return []
        if self._mouth.is_filler(name):
            self._mouth.playout.remove(name)
            return self._floor.settle(now_s)
        if reply is None:
            return []
        if not reply.is_own:
            return self._fail(reply, now_s)
        deed = reply.last_deed
        if isinstance(deed, ev.End) and deed.reason is not EndReason.PROVIDER_FAILED:
            return self._end(deed)
        # Not even the apology can be heard: the gateway speaks in its place.
        return self._floor.end(EndReason.PROVIDER_FAILED, by_agent=False)

    def on_hearing_failed(self, now_s: float) -> list[Action]:
        """No recogniser hears the caller any more: what is said still comes first."""
        floor, reply = self._floor, self._mouth.reply
        if floor.state in _NO_TURNS or (reply is not None and reply.is_closing):
            return []
        if floor.is_answering and floor.state in (State.THINKING, State.SPEAKING):
            assert reply is not None  # an answer is in hand
            return self._fail(reply, now_s)
        apology = self.rules.failure.apology
        if not apology:
            return floor.end(EndReason.PROVIDER_FAILED, by_agent=False)
        actions, reply = self._begin_last(now_s)
        actions += [ev.Count(ev.Tally.APOLOGY)]
        actions += [self._mouth.say_prepared(reply, apology, is_interruptible=False)]
        reply.then(self._after_apology())
        return actions

    def _fail(self, reply: Reply, now_s: float) -> list[Action]:
        """Apologise in place of the rest of an answer; a guess that failed is asked anew."""
        if reply.is_speculative:
            if self._floor.ear.in_hand is not None:
                self._floor.ear.in_hand.may_guess = False  # who failed is not pestered with more
            return self._floor.cut_reply(now_s)
        apology = self.rules.failure.apology
        if not apology:
            return self._floor.end(EndReason.PROVIDER_FAILED, by_agent=False)
        deed = self._after_apology()
        return [*self._mouth.apologise(reply, apology, deed), *self._floor.settle(now_s)]

    def _after_apology(self) -> Deed:
        rules = self.rules.failure
        self.has_apologised = True
        if rules.then is OnFailure.TRANSFER and rules.transfer_to:
            return ev.LeaveToTransfer(rules.transfer_to)
        return ev.End(EndReason.PROVIDER_FAILED, by_agent=True)
