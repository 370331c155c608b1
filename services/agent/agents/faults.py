"""PURE. What is wrong with an agent's file, as one line an owner can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

FieldPath: TypeAlias = tuple[str | int, ...]
"""Where in a file: keys and places in lists, outermost first."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with a field, in plain words; the line is not known yet."""

    path: FieldPath
    reason: str

    def under(self, prefix: FieldPath) -> Problem:
        """The same problem seen from a larger whole."""
        return Problem((*prefix, *self.path), self.reason)


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem with its file and line (from 1); `str()` is the one line to show."""

    file: str
    line: int
    problem: Problem

    def __str__(self) -> str:
        place = field_name(self.problem.path)
        return f"{self.file}:{self.line}: {place}{': ' if place else ''}{self.problem.reason}"


def field_name(path: FieldPath) -> str:
    """Return a path as people write it: `tools[2].url`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence: the nearest known word, else all of them; maybe nothing."""
    names = sorted(set(known))
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are: {', '.join(names)}" if names and len(names) <= 30 else ""
