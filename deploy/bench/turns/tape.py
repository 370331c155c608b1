"""PURE. What the vendors' stand-ins saw of each turn: when they were asked, when they answered.

A provider's own time runs from the moment it had all it needed until the piece was sent that the
platform needed, as the stand-ins themselves saw it:

- transcription: from the audio or the request that settled the words until they were sent;
- language: from the request until the character after the first sentence (nobody can know that a
  full stop ends one before that), or the end of the answer;
- speech: from the request for the first sentence until its first samples.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

LISTEN, CHAT, SPEECH = "/v1/listen", "/v1/chat/completions", "/v1/audio/speech"
_NUMBER = re.compile(r"[Tt]rip (\d+)")

Span = tuple[float, float]
"""Begin and end, in seconds of the monotonic clock."""


def trip_of(text: str) -> int | None:
    """Return the number by which a turn is known in everything that is said in it."""
    found = _NUMBER.search(text)
    return int(found[1]) if found is not None else None


@dataclass(slots=True)
class Exchange:
    """One request or socket: what came in and went out, with times."""

    route: str
    came: list[tuple[float, bytes | str]] = field(default_factory=list)
    went: list[tuple[float, bytes | str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TurnTimes:
    """The stand-ins' times of one turn.

    Attributes:
        words: the transcription that the language model was asked with.
        settled: the transcription asked for at the end of the turn, None where none was.
        thought: the language model, until its first sentence was known to be one.
        sentence_s: when the last token of that sentence was sent.
        last_token_s: when the last token of the answer was sent.
        spoke: the voice.
    """

    words: Span
    settled: Span | None
    thought: Span
    sentence_s: float
    last_token_s: float
    spoke: Span


@dataclass(slots=True)
class Tape:
    """Everything that went over the stand-ins' wires.

    Args:
        answer_delay_s: from what makes the recogniser tell something until it does.
    """

    answer_delay_s: float
    exchanges: dict[int, Exchange] = field(default_factory=dict)

    def note(
        self, at_s: float, route: str, number: int, data: bytes | str, *, goes_out: bool
    ) -> None:
        """Write a piece down."""
        exchange = self.exchanges.setdefault(number, Exchange(route))
        (exchange.went if goes_out else exchange.came).append((at_s, data))

    def turn(self, trip: int) -> TurnTimes | None:
        """Return a turn's times; None where it did not take the usual way."""
        spoken = self._speech_of(trip)
        if spoken is None:
            return None
        speech, sentence = spoken
        asked_s = speech.came[0][0]
        thought = self._chat_of(trip, asked_s)
        if thought is None or not speech.went:
            return None
        tokens = list(_tokens(thought))
        known_s, sentence_s = _sentence_times(tokens, sentence)
        chat_s = thought.came[0][0]
        told = [one for one in self._told(trip) if one[1] <= chat_s]
        later = [one for one in self._told(trip) if one[1] > chat_s]
        if not told or known_s is None:
            return None
        return TurnTimes(
            words=told[-1],
            settled=later[-1] if later else None,
            thought=(chat_s, known_s),
            sentence_s=sentence_s,
            last_token_s=tokens[-1][0],
            spoke=(asked_s, speech.went[0][0]),
        )

    def socket_of(self, trip: int) -> Exchange | None:
        """Return the recogniser's socket that heard a turn."""
        for exchange in self._of(LISTEN):
            if any(trip_of(str(text)) == trip for _, text in exchange.went if "trip" in str(text)):
                return exchange
        return None

    def _of(self, route: str) -> list[Exchange]:
        return [one for one in self.exchanges.values() if one.route == route]

    def _speech_of(self, trip: int) -> tuple[Exchange, str] | None:
        for exchange in self._of(SPEECH):
            text = str(json.loads(exchange.came[0][1])["input"])
            if trip_of(text) == trip:
                return exchange, text
        return None

    def _chat_of(self, trip: int, before_s: float) -> Exchange | None:
        """The request whose answer was spoken: the newest one of the turn by then."""
        found = None
        for exchange in self._of(CHAT):
            at_s, body = exchange.came[0]
            if at_s <= before_s and trip_of(_newest(json.loads(body)["messages"])) == trip:
                found = exchange
        return found

    def _told(self, trip: int) -> list[Span]:
        """The settled results of a turn, and those asked for right after it."""
        socket = self.socket_of(trip)
        spans: list[Span] = []
        newest: int | None = None
        for sent_s, text in socket.went if socket is not None else ():
            message = json.loads(text)
            if message.get("type") != "Results" or not message["is_final"]:
                continue
            words = message["channel"]["alternatives"][0]["transcript"]
            newest = trip_of(words) or newest
            if newest == trip and (words or message["from_finalize"]):
                spans.append((sent_s - self.answer_delay_s, sent_s))
        return spans


def _newest(messages: Sequence[dict[str, str]]) -> str:
    return next((str(m["content"]) for m in reversed(messages) if m["role"] == "user"), "")


def _tokens(chat: Exchange) -> Iterator[tuple[float, str]]:
    for sent_s, piece in chat.went:
        line = piece.decode() if isinstance(piece, bytes) else piece
        text = line.removeprefix("data: ").strip()
        choices = json.loads(text)["choices"] if text.startswith("{") else []
        if choices and (content := choices[0]["delta"].get("content")):
            yield sent_s, content


def _sentence_times(
    tokens: Sequence[tuple[float, str]], sentence: str
) -> tuple[float | None, float]:
    """Return when a sentence was known to be one, and when its last token had been sent."""
    text, whole_s = "", None
    for sent_s, token in tokens:
        text += token
        if whole_s is not None:
            return sent_s, whole_s
        if sentence in text.strip():
            whole_s = sent_s
    return (whole_s, whole_s) if whole_s is not None else (None, 0.0)


def frames_came(socket: Exchange) -> list[float]:
    """Return when each 20 ms of a call's audio had come in."""
    times: list[float] = []
    held = 0
    for at_s, data in socket.came:
        if isinstance(data, bytes):
            held += len(data)
            times += [at_s] * (held // 160)
            held %= 160
    return times
