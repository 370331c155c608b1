"""PURE. Whether a machine has answered an outbound call, and when it has said its piece.

Two signs: what it says ("leave a message after the tone"), and that it begins at once and does not
stop: people who pick up a phone say "hello" and wait.
"""

from __future__ import annotations

from typing import Final

from services.agent.turn.rules import MachineRules, OnMachine
from services.agent.turn.words import contains_phrase, plain_words
from shared.protocol.call import Direction

_TABLE: Final = (
    # English
    "leave a message, leave your message, leave me a message, leave your name, after the tone, "
    "after the beep, at the tone, at the beep, record your message, voicemail, voice mail, "
    "voice mailbox, mailbox is full, is not available, am not available, are not available, "
    "cant come to the phone, cannot come to the phone, unable to take your call, "
    "cant take your call, cannot take your call, get back to you as soon, "
    "you have reached the voicemail, please try again later, currently switched off, "
    "switched off, not reachable, out of coverage, number you have dialed, "
    "number you have dialled, number you are calling, person you are calling, "
    "person you have called, "
    # Hindi
    "sandesh chhod, beep ke baad, upalabdh nahin, switch off hai, "
    "संदेश छोड़, बीप के बाद, उपलब्ध नहीं, स्विच ऑफ है, पहुंच से बाहर, संपर्क नहीं, "
    # Spanish, Portuguese, French, German, Italian, Dutch
    "deje su mensaje, deja un mensaje, deje un mensaje, después del tono, después de la señal, "
    "buzón de voz, no está disponible, no se encuentra disponible, "
    "deixe sua mensagem, deixe seu recado, deixe uma mensagem, após o sinal, caixa postal, "
    "caixa de mensagens, não está disponível, "
    "laissez un message, laissez moi un message, laisser un message, après le bip, "
    "après le signal sonore, messagerie vocale, répondeur, nest pas disponible, "
    "hinterlassen sie, hinterlasse eine nachricht, nach dem signalton, nach dem piepton, "
    "nach dem ton, anrufbeantworter, mailbox von, nicht erreichbar, vorübergehend nicht, "
    "lascia un messaggio, lasciate un messaggio, dopo il segnale, segreteria telefonica, "
    "non è raggiungibile, na de toon, na de piep, spreek een bericht in, niet bereikbaar"
)
_PHRASES: Final = frozenset(plain_words(phrase) for phrase in _TABLE.split(","))
_OPENING_S = 15.0  # a machine has said what gives it away by then
_GREETING_S = 6.0
_PROMPT_S = 2.5  # a machine's greeting begins this soon
_UTTERANCES = 3
_SOUND_DBFS = -45.0


class AnsweringMachine:
    """Judges who answered, until a few utterances are over or somebody else has judged.

    Args:
        rules: what to do about machines; where they are ignored nothing is judged.
        direction: only outbound calls are answered by somebody else's machine.
    """

    def __init__(self, rules: MachineRules, direction: Direction) -> None:
        self._rules = rules
        self._is_open = direction is Direction.OUTBOUND and rules.then is not OnMachine.IGNORE
        self._utterances = 0
        self._held_s = 0.0
        self._sound_s = 0.0

    # --- who it is ---------------------------------------------------------------------------

    def on_judged(self) -> None:
        """It is known who answered."""
        self._is_open = False

    def is_machine_by_words(self, text: str, *, at_s: float) -> bool:
        """Whether words, perhaps of an utterance still going on, are a machine's.

        Args:
            text: what was recognised.
            at_s: when, from the call's first media.
        """
        if not self._is_open or at_s > _OPENING_S:
            return False
        words = plain_words(text)
        return any(contains_phrase(words, phrase) for phrase in _PHRASES)

    def is_machine_by_sound(self, *, onset_s: float, speech_s: float) -> bool:
        """Whether the first utterance is too long for a person's "hello".

        Args:
            onset_s: when it began, from the call's first media.
            speech_s: how long it has lasted without a pause that ended it.
        """
        is_first = self._is_open and self._utterances == 0 and onset_s <= _PROMPT_S
        return is_first and speech_s >= _GREETING_S

    def on_utterance(self) -> None:
        """An utterance is over and was no machine's."""
        self._utterances += 1
        if self._utterances >= _UTTERANCES:
            self._is_open = False

    # --- waiting for it to end ---------------------------------------------------------------

    def begin_wait(self, now_s: float) -> None:
        """Its greeting is waited out from now on."""
        self._held_s = self._sound_s = now_s

    def is_over(self, level_dbfs: float, now_s: float) -> bool:
        """Take the level of a frame; say whether the machine, its tone included, has ended."""
        if level_dbfs >= _SOUND_DBFS:
            self._sound_s = now_s
        is_quiet = now_s - self._sound_s >= self._rules.quiet_s
        return is_quiet or now_s - self._held_s >= self._rules.most_wait_s
