"""PURE. Takes out of a call's words what its owner does not want kept.

Numbers are digits written, said or keyed, four and more in a row, however they are grouped: as one
number, in pairs, with dashes, with "double", with an "uh" between, over several turns. Amounts and
years of four digits go with them: what a number means can't be told from its digits. Times like
10:30 stay. Nothing here tells whether a text was about a person, only what its letters are.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from services.agent.after_call.digit_words import DIGITS, FILLERS, REPEATS, SCALES, WEAK
from services.agent.agents.file import Data

NUMBER = "[number]"
EMAIL = "[email]"
LEAST_DIGITS = 4
SEPARATORS = r"\s\-\u2010-\u2015\u2212.,()\[\]/\\+_*#\u00b7\u2022~\u200b\u2060\ufeff"
_JOIN_MS = 15_000
_SHOWN_DIGITS = 4

_GAP = re.compile(f"[{SEPARATORS}]*")
# Vowel signs and joiners are no letters to `re`, and belong to words all the same.
_MARKS = r"\u0300-\u036f\u0900-\u0903\u093a-\u094f\u0962\u0963\u200c\u200d"
_TOKEN = re.compile(rf"\d+|(?:[^\W\d_]|[{_MARKS}])+")

_WRITTEN_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_SPOKEN_EMAIL = re.compile(
    r"(?<!\w)(?:\w[ .-]+){0,40}\w+(?:\s+(?:dot|underscore|dash|hyphen|minus|plus)\s+\w+){0,8}"
    r"\s+at(?:\s+the\s+rate(?:\s+of)?)?\s+\w+(?:\s+dot\s+\w+){0,4}"
    r"\s+dot\s+(?:com|net|org|edu|gov|info|biz|io|ai|in|uk|us|de|fr|es|co(?:\s+dot\s+\w+)?)(?!\w)",
    re.IGNORECASE,
)


@dataclass(slots=True)
class _Run:
    """Digits in a row: from where to where they are, and how many."""

    start: int
    end: int
    digits: int = 0
    repeat: int = 1
    is_sure: bool = False


def number_spans(text: str) -> list[tuple[int, int]]:
    """Return where numbers of four digits and more stand, first to last, without overlap."""
    spans: list[tuple[int, int]] = []
    run: _Run | None = None
    before = 0
    for token in _TOKEN.finditer(text):
        if run is not None and not _GAP.fullmatch(text, before, token.start()):
            _keep(run, spans)
            run = None
        before = token.end()
        run = _take(run, token, spans)
    _keep(run, spans)
    return spans


def _take(run: _Run | None, token: re.Match[str], spans: list[tuple[int, int]]) -> _Run | None:
    """Add a token to a run of digits; return the run that goes on after it."""
    word = token.group()
    is_written = word[0].isdecimal()
    name = "" if is_written else unicodedata.normalize("NFC", word.casefold())
    if is_written or name in DIGITS:
        run = run or _Run(token.start(), token.start())
        run.digits += (len(word) if is_written else DIGITS[name]) * run.repeat
        run.repeat = 1
        run.is_sure = run.is_sure or name not in WEAK
        run.end = token.end()
        return run
    if name in REPEATS:
        run = run or _Run(token.start(), token.start())
        run.repeat = REPEATS[name]
        return run
    if run is not None and run.digits:
        if name in SCALES:
            run.digits += SCALES[name]
            run.end = token.end()
            return run
        if name in FILLERS:
            return run
    _keep(run, spans)
    return None


def _keep(run: _Run | None, spans: list[tuple[int, int]]) -> None:
    if run is not None and run.is_sure and run.digits >= LEAST_DIGITS:
        spans.append((run.start, run.end))


def redact_numbers(text: str) -> str:
    """Replace each number of four digits and more; any other text comes back as it is."""
    return redact_numbers_across([text])[0]


def redact_numbers_across(texts: Sequence[str]) -> list[str]:
    """Replace numbers in texts that follow one another, also those that begin in one and go on."""
    spans = deque(number_spans("\n".join(texts)))
    redacted: list[str] = []
    offset = 0
    for text in texts:
        end, at, parts = offset + len(text), offset, list[str]()
        while spans and spans[0][0] < end:
            start, stop = spans[0]
            parts += [text[at - offset : max(start, at) - offset], NUMBER]
            at = min(stop, end)
            if stop > end:
                break
            spans.popleft()
        redacted.append("".join([*parts, text[at - offset :]]) if text else "")
        offset = end + 1
    return redacted


def redact_emails(text: str) -> str:
    """Replace addresses of mail, written or said ("j doe at gmail dot com")."""
    if "@" in text:
        text = _WRITTEN_EMAIL.sub(EMAIL, text)
    return _SPOKEN_EMAIL.sub(EMAIL, text)


def last_digits(number: str | None) -> str | None:
    """Return a phone number with all but its last four digits left out."""
    if not number or len(number) <= _SHOWN_DIGITS:
        return number
    return "…" + number[-_SHOWN_DIGITS:]


@dataclass(frozen=True, slots=True)
class Redaction:
    """What of a call's words may be kept.

    Attributes:
        keep_text: False: no words at all; times, counts, names of tools stay.
        numbers: leave out numbers.
        emails: leave out addresses of mail.
    """

    keep_text: bool = True
    numbers: bool = False
    emails: bool = False

    @classmethod
    def of(cls, data: Data) -> Self:
        """Return what an agent's file asks for."""
        return cls(data.keep_text, "numbers" in data.redact, "emails" in data.redact)

    def text(self, text: str) -> str:
        """Return what may be kept of one text."""
        if not self.keep_text:
            return ""
        if self.emails:
            text = redact_emails(text)
        return redact_numbers(text) if self.numbers else text

    def value(self, value: Any) -> Any:
        """Return what may be kept of a JSON value; an object keeps its shape."""
        if not self.keep_text:
            return {} if isinstance(value, Mapping) else ""
        return self._value(value)

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return self._list(value)
        if self.numbers and isinstance(value, (int, float)) and number_spans(str(value)):
            return NUMBER
        return value

    def _list(self, values: Sequence[Any]) -> list[Any]:
        """Redact a list; digits that stand in it one by one are one number."""
        kept = [self._value(value) for value in values]
        if not self.numbers or not all(isinstance(value, (str, int, float)) for value in kept):
            return kept
        texts = redact_numbers_across([str(value) for value in kept])
        return [
            value if str(value) == text else text for value, text in zip(kept, texts, strict=True)
        ]

    def entries(self, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return a transcript with only what may be kept; entries, times and counts stay.

        Args:
            entries: in order of time; not changed.
        """
        kept = [self._entry(entry) for entry in entries]
        if self.keep_text and self.numbers:
            for stream in _streams(kept):
                texts = redact_numbers_across([str(entry["text"]) for entry in stream])
                for entry, text in zip(stream, texts, strict=True):
                    entry["text"] = text
        return kept

    def _entry(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        kept = dict(entry)
        text = str(kept.get("text") or "")
        kept["text"] = "" if not self.keep_text else redact_emails(text) if self.emails else text
        if kept.get("kind") == "tool":
            kept["arguments"] = self.value(kept.get("arguments") or {})
            kept["result"] = self.text(str(kept.get("result") or ""))
        return kept


def _streams(entries: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Group what one side said, or keyed, without long rests: numbers come in several turns."""
    streams: list[list[dict[str, Any]]] = []
    open_streams: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for entry in entries:
        key = (entry.get("kind"), entry.get("who"))
        stream = open_streams.get(key)
        if stream is None or entry["at_ms"] - _end_ms(stream[-1]) > _JOIN_MS:
            stream = open_streams[key] = []
            streams.append(stream)
        stream.append(entry)
    return streams


def _end_ms(entry: Mapping[str, Any]) -> float:
    return float(entry.get("until_ms") or entry["at_ms"])
