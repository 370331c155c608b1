"""PURE. What happened in a conversation beside its words: keys pressed, tools used.

It is kept as one text among a conversation's variables, so that another worker reads the same. An
aside knows its place by how many entries the history had then, and by how the last of them began:
a history that was shortened since still finds it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from services.agent.providers.base import Message

MAX_ASIDES = 40
MAX_RESULT_CHARS = 4000
_MAX_CHARS = 32_000
_HEAD_CHARS = 60


@dataclass(frozen=True, slots=True)
class Use:
    """A tool call with its result, as the model wrote the one and is to read the other."""

    call_id: str
    name: str
    arguments: str
    result: str


@dataclass(frozen=True, slots=True)
class Aside:
    """Keys, or the tool calls of one answer of the model.

    Attributes:
        at: entries of the history before it.
        after: how the last of those began.
        keys: what was pressed, or a note of what was not.
        uses: the calls.
    """

    at: int
    after: str = ""
    keys: str = ""
    uses: tuple[Use, ...] = ()


def place_of(history: Sequence[Message], at: int) -> tuple[int, str]:
    """Return `at` and `after` of something that comes after `at` entries of this history."""
    return at, history[at - 1].text[:_HEAD_CHARS] if 0 < at <= len(history) else ""


def find_place(aside: Aside, history: Sequence[Message]) -> int:
    """Return how many entries of this history come before an aside."""
    if not aside.after:
        return min(aside.at, len(history))
    if 0 < aside.at <= len(history) and history[aside.at - 1].text.startswith(aside.after):
        return aside.at
    for at in range(len(history), 0, -1):
        if history[at - 1].text.startswith(aside.after):
            return at
    return 0 if aside.at <= len(history) else min(aside.at, len(history))


def add_aside(asides: Sequence[Aside], new: Aside) -> tuple[Aside, ...]:
    """Return asides with a new one; a call that is in it already gives way to its newer result."""
    ids = {use.call_id for use in new.uses}
    kept = []
    for aside in asides:
        uses = tuple(use for use in aside.uses if use.call_id not in ids)
        if uses or aside.keys:
            kept.append(Aside(aside.at, aside.after, aside.keys, uses))
    # Asides are in order of their places, in the order they came where these are equal.
    kept.append(new)
    return tuple(sorted(kept, key=lambda aside: aside.at))[-MAX_ASIDES:]


def write_asides(asides: Iterable[Aside]) -> str:
    """Return asides as one text, the oldest left out when it would be too long."""
    rows = [_row(aside) for aside in asides]
    while rows and len(text := json.dumps(rows, ensure_ascii=False)) > _MAX_CHARS:
        rows.pop(0)
    return text if rows else ""


def read_asides(text: str) -> tuple[Aside, ...]:
    """Read what `write_asides` wrote; anything else is no asides."""
    try:
        return tuple(_aside(row) for row in json.loads(text)) if text else ()
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()


def _row(aside: Aside) -> dict[str, Any]:
    row = {name: value for name, value in asdict(aside).items() if value}
    for use in row.get("uses", ()):
        use["result"] = use["result"][:MAX_RESULT_CHARS]
    return row


def _aside(row: dict[str, Any]) -> Aside:
    uses = tuple(
        Use(*(str(use[name]) for name in ("call_id", "name", "arguments", "result")))
        for use in row.get("uses", ())
    )
    return Aside(int(row.get("at", 0)), str(row.get("after", "")), str(row.get("keys", "")), uses)
