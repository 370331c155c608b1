"""PURE. The agent's answer in hand: from the brain's pieces to what the caller heard of them."""

from __future__ import annotations

from typing import assert_never

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.barge_in import ANSWER_S, TAIL_S
from services.agent.turn.events import Action
from services.agent.turn.playout import Playout
from services.agent.turn.reply import Deed, Passages, Reply, Uttered
from services.agent.turn.rules import TurnTaking
from services.agent.turn.sentences import split_sentences
from services.agent.turn.spoken import HeardSentence
from shared.audio.g711 import decode_ulaw
from shared.audio.level import level_dbfs
from shared.protocol.call import EndReason

_NEARLY = 0.85  # of a question, by its audio: the rest can be guessed
_QUESTION = ("?", "？", "؟")


class Mouth:
    """The agent's side of one call.

    Args:
        playout: the way to the caller's ear.
        rules: turn-taking.
    """

    def __init__(self, playout: Playout, rules: TurnTaking) -> None:
        self.playout = playout
        self.reply: Reply | None = None
        self.generation = 0
        self.rules = rules
        self._passages = Passages(
            [part for text in rules.uninterruptible for part in split_sentences(text)]
        )
        self._fillers = 0
        self._bridges: set[str] = set()
        self._unclaimed: list[HeardSentence] = []

    # --- an answer begins and ends -----------------------------------------------------------

    def begin(
        self,
        answers: base.Heard | None,
        now_s: float,
        *,
        is_speculative: bool = False,
        is_own: bool = False,
    ) -> Reply:
        """Take up a new answer; there must be none in hand."""
        self.generation += 1
        self.reply = Reply(self.generation, answers, now_s, is_speculative, is_own)
        self.reply.may_fill = answers is not None and not isinstance(answers, base.Silence)
        self.reply.fillers |= self._bridges
        self.reply.hear(self._unclaimed)
        self._bridges.clear()
        self._unclaimed.clear()
        if is_speculative:
            self.playout.hold()
        return self.reply

    def confirm(self, reply: Reply, now_s: float) -> list[Action]:
        """A speculative answer is wanted: let it out, with what it has brought about."""
        reply.is_speculative = False
        reply.asked_s = now_s
        self.playout.release()
        kept = list(reply.kept)
        reply.kept.clear()
        actions: list[Action] = [ev.Confirm(reply.generation)]
        return actions + [action for piece in kept for action in self.on_piece(reply, piece)]

    def drop(self, now_s: float) -> Reply | None:
        """Let go of the answer in hand; it then tells what was heard of it."""
        reply, self.reply = self.reply, None
        heard = self.playout.discard(now_s)
        if reply is not None:
            reply.hear(heard)
        return reply

    def note_heard(self, now_s: float) -> None:
        """Note which sentences were heard to their end."""
        heard = self.playout.take_heard(now_s)
        if not heard:
            return
        if self.reply is not None:
            self.reply.hear(heard)
        else:
            self._unclaimed += heard

    @property
    def is_done(self) -> bool:
        """Whether the answer in hand was given and heard to its end."""
        reply = self.reply
        return (
            reply is not None
            and reply.is_read
            and not reply.is_speculative
            and not self.playout.has_unplayed
        )

    # --- what the brain says -----------------------------------------------------------------

    def on_piece(self, reply: Reply, piece: Uttered) -> list[Action]:
        """Take one piece of the answer in hand."""
        if reply.is_speculative and (reply.kept or isinstance(piece, base.SwitchLanguage)):
            # What follows is in the other language; a guess does not switch the caller's.
            reply.kept.append(piece)
            return []
        match piece:
            case base.Say():
                texts = [text for text in split_sentences(piece.text) if not reply.is_told(text)]
                return [self._speak(reply, text, piece) for text in texts]
            case base.Spoken():
                self._on_spoken(reply, piece)
            case base.EndCall():
                reply.then(ev.End(EndReason.AGENT_HUNG_UP, by_agent=True))
            case base.Transfer():
                reply.then(ev.LeaveToTransfer(piece.to))
            case base.SendDigits():
                reply.then(ev.SendKeys(piece.digits))
            case base.GatherDigits():
                reply.then(ev.LeaveToGather(piece))
            case base.SwitchLanguage():
                return [ev.ChangeLanguage(piece.language)]
            case _:
                assert_never(piece)
        return []

    def _speak(self, reply: Reply, text: str, say: base.Say) -> Action:
        name = reply.next_name()
        may_stop = say.is_interruptible and not self._passages.hold(text)
        self.playout.add_sentence(
            name,
            reply.generation,
            text,
            is_interruptible=may_stop,
            formerly=reply.former_name(text),
        )
        return ev.Speak(name, reply.generation, text, is_first=reply.is_first)

    def _on_spoken(self, reply: Reply, piece: base.Spoken) -> None:
        """Take a piece of speech that the brain made itself; its words may come later or before."""
        name = f"{reply.generation}.{piece.item}"
        if name not in reply.items:
            reply.items.add(name)
            reply.awaited[name] = None
            self.playout.add_sentence(name, reply.generation, "")
        self.playout.add_text(name, piece.text)
        level = level_dbfs(decode_ulaw(piece.ulaw)) if piece.ulaw else 0.0
        self.playout.add_audio(name, piece.ulaw, level_dbfs=level, is_last=piece.is_last)

    # --- words of the session's own ----------------------------------------------------------

    def say_prepared(self, reply: Reply, text: str, *, is_interruptible: bool = True) -> Action:
        """Add a sentence whose audio was made in advance."""
        name = reply.next_name()
        self.playout.add_sentence(name, reply.generation, text, is_interruptible=is_interruptible)
        return ev.SpeakPrepared(name, reply.generation, text)

    def fill(self, reply: Reply | None) -> list[Action]:
        """Bridge the wait for an answer with the next filler; nothing of it may be on its way out.

        Args:
            reply: the answer; None while the words that it is to answer are waited for.
        """
        texts = self.rules.filler.texts
        if not texts:
            return []
        text = texts[self._fillers % len(texts)]
        self._fillers += 1
        name = f"filler.{self._fillers}"
        if reply is None:
            self.generation += 1  # nobody's: what is abandoned from now on is not this
        (self._bridges if reply is None else reply.fillers).add(name)
        self.playout.add_first(name, self.generation, text)
        return [ev.Count(ev.Tally.FILLER), ev.SpeakPrepared(name, self.generation, text)]

    def is_filler(self, name: str) -> bool:
        """Whether a sentence is a filler of the answer in hand, or of the one to come."""
        return name in self._bridges or (self.reply is not None and name in self.reply.fillers)

    def apologise(self, reply: Reply, text: str, deed: Deed) -> list[Action]:
        """Replace what was not made of an answer by an apology; what was made is still said."""
        abandon = ev.Abandon(reply.generation)
        self.playout.drop_unmade()
        self.generation += 1
        reply.generation = self.generation
        reply.is_read = reply.is_own = True
        reply.is_speculative = reply.may_fill = False
        reply.steps.clear()
        prepared = self.say_prepared(reply, text, is_interruptible=False)
        reply.then(deed)
        return [abandon, ev.Count(ev.Tally.APOLOGY), prepared]

    # --- interruption ------------------------------------------------------------------------

    def may_be_stopped(self, now_s: float) -> bool:
        """Whether speech of the caller silences the agent at this point of its answer."""
        return not (self.is_held_to_end(now_s) or self._is_within(TAIL_S, now_s))

    def is_held_to_end(self, now_s: float) -> bool:
        """Whether the agent speaks what nothing may interrupt; not before its first sound."""
        if not self.playout.has_sent and not (self.reply is not None and self.reply.is_heard):
            return False
        sentence = self.playout.in_hand(now_s)
        may_stop = sentence is None or sentence.is_interruptible
        return not (may_stop and self.rules.barge_in.is_enabled)

    def has_asked(self, now_s: float) -> bool:
        """Whether the caller knows already what the answer wants to say, or to ask."""
        if self._is_within(ANSWER_S, now_s):
            return True
        sentence = self.playout.in_hand(now_s)
        if sentence is None or not sentence.text.rstrip().endswith(_QUESTION):
            return False
        return self.playout.heard_of_last(now_s) >= _NEARLY

    def _is_within(self, seconds: float, now_s: float) -> bool:
        """Whether the answer ends, for all that is known, within so many seconds."""
        if self.reply is None or not self.reply.is_read:
            return False
        remaining_s = self.playout.remaining_s(now_s)
        return remaining_s is not None and remaining_s <= seconds
