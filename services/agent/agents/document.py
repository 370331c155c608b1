"""PURE. YAML that remembers its lines, read as people mean it and no larger than it should be.

Plain words stay words: `yes`, `no`, `on` and `off` are what a caller says, not true and false, a
number that begins with + or 0 is a phone number, and there are no dates. Keys are always texts.
Anchors and aliases serve to write a thing once; how much they make is bounded, as is the depth.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from services.agent.agents.faults import FieldPath, Problem

MOST_BYTES = 256 * 1024
_MOST_NODES = 10_000
_MOST_DEPTH = 24

_STR, _NULL, _BOOL, _INT, _FLOAT = (
    f"tag:yaml.org,2002:{name}" for name in ("str", "null", "bool", "int", "float")
)
_PLAIN = (
    (re.compile(r"~|null|Null|NULL|"), _NULL),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), _BOOL),
    (re.compile(r"-?(0|[1-9][0-9]{0,17})"), _INT),
    (re.compile(r"-?[0-9]{1,17}(\.[0-9]*)?([eE][-+]?[0-9]{1,3})?|-?\.[0-9]+"), _FLOAT),
)
_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_TAGGED = "tags (!name) are not read here"
# Trouble whose cause stands where the parser began, not where it gave up.
_AT_THE_BEGINNING = re.compile(r"quoted scalar|flow (sequence|mapping)|simple key")
_LEADING_ZERO = re.compile(r"-?0[0-9]")

# The parser's own words, and what to say instead; the first that fits.
_PLAIN_WORDS = (
    (r"found character '\\t'", "a tab stands here; YAML is indented by spaces"),
    (r"found character '(.)' that cannot start", r"a text that begins with \1 goes in quotes"),
    (r"mapping values are not allowed", "a text that holds a colon goes in quotes"),
    (r"could not find expected ':'", "a key without its colon"),
    (r"unexpected end of stream", "a quote is opened and never closed"),
    (r"found unexpected document separator", "a quote is opened and never closed"),
    (r"undefined alias '(.*)'", r"*\1 stands for &\1, which comes nowhere before"),
    (r"duplicate anchor|found duplicate anchor", "one &name is given twice"),
    (r"but found another document", "a second document begins here; a file holds one"),
    (
        r"expected ',' or '[\]}]'",
        "a [ or { is not closed, a comma is missing, or a text in it needs quotes",
    ),
    (
        r"expected <block end>|expected the node content",
        "the indentation does not fit what is above",
    ),
    (r"unknown escape character '(.)'", r"\\\1 means nothing within double quotes"),
)


class UnreadableDocument(Exception):
    """A text is no YAML that we read; `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(line, reason)
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds.

    Attributes:
        data: texts, numbers, booleans, None, lists and dicts.
        problems: what could be read but not kept (a key given twice, a tag), with their lines.
        lines: the line of each field, from 1; of a key, where it has one.
    """

    data: Any
    problems: tuple[tuple[int, Problem], ...]
    lines: Mapping[FieldPath, int]

    def line(self, path: FieldPath) -> int:
        """Return the line of a field, or of the nearest part around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_document(raw: bytes) -> Document:
    """Read one YAML document.

    Raises:
        UnreadableDocument: too large, not UTF-8, not YAML, too deep, too much by aliases.
    """
    if len(raw) > MOST_BYTES:
        raise UnreadableDocument(1, f"larger than {MOST_BYTES // 1024} KiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw[: exc.start].count(b"\n") + 1
        raise UnreadableDocument(line, "a character that is not UTF-8") from None
    node = _compose(text)
    if node is None:
        raise UnreadableDocument(1, "there is nothing in this file")
    reading = _Reading()
    data = reading.value(node, (), 0)
    return Document(data, tuple(reading.problems), reading.lines)


def _compose(text: str) -> yaml.Node | None:
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as exc:
        line = text.count("\n", 0, exc.position) + 1
        raise UnreadableDocument(line, "a control character, which YAML does not take") from None
    try:
        return loader.get_single_node()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        if exc.context_mark and _AT_THE_BEGINNING.search(exc.context or ""):
            mark = exc.context_mark
        raise UnreadableDocument(mark.line + 1 if mark else 1, _in_plain_words(exc)) from None
    finally:
        loader.dispose()


def _in_plain_words(error: yaml.MarkedYAMLError) -> str:
    said = error.problem or "not YAML"
    for pattern, words in _PLAIN_WORDS:
        found = re.search(pattern, said)
        if found:
            return found.expand(words)
    return said


class _Loader(yaml.SafeLoader):
    """Composes nodes, no deeper than is sensible, and tells texts from numbers by our rules."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._levels = 0
        self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._levels += 1
        self._nodes += 1
        if self._levels > _MOST_DEPTH or self._nodes > _MOST_NODES:
            too_much = "levels within each other" if self._levels > _MOST_DEPTH else "entries"
            most = _MOST_DEPTH if self._levels > _MOST_DEPTH else _MOST_NODES
            raise yaml.composer.ComposerError(
                problem=f"more than {most} {too_much}",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call] # as stubbed
            )
        try:
            return super().compose_node(parent, index)
        finally:
            self._levels -= 1

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        if kind is not yaml.ScalarNode:
            return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call] # as stubbed
        if not implicit[0] or _LEADING_ZERO.match(value):
            return _STR
        return next((tag for pattern, tag in _PLAIN if pattern.fullmatch(value)), _STR)


@dataclass(slots=True)
class _Reading:
    """Turns nodes into data, noting the lines."""

    problems: list[tuple[int, Problem]] = field(default_factory=list)
    lines: dict[FieldPath, int] = field(default_factory=dict)

    def value(self, node: yaml.Node, path: FieldPath, depth: int) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if len(self.lines) > _MOST_NODES or depth > _MOST_DEPTH:
            raise UnreadableDocument(line, "aliases make more of this than a file may hold")
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _COLLECTIONS:
            self._refuse(line, path, _TAGGED)
        match node:
            case yaml.MappingNode():
                return self._mapping(node, path, depth)
            case yaml.SequenceNode():
                return [
                    self.value(item, (*path, place), depth + 1)
                    for place, item in enumerate(node.value)
                ]
            case _:
                return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: FieldPath, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise UnreadableDocument(line, "a key must be a word")
            key = key_node.value
            if key == "<<":
                self._refuse(line, (*path, key), "merging (<<) is not read here")
                continue
            if key in data:
                first = self.lines[(*path, key)]
                self._refuse(line, (*path, key), f"given twice, before in line {first}")
                continue
            self.lines[(*path, key)] = line
            data[key] = self.value(value_node, (*path, key), depth + 1)
        return data

    def _scalar(self, node: yaml.Node, path: FieldPath) -> Any:
        text: str = node.value
        match node.tag:
            case tag if tag == _STR:
                return text
            case tag if tag == _NULL:
                return None
            case tag if tag == _BOOL and text.lower() in ("true", "false"):
                return text.lower() == "true"
            case tag if tag == _INT and _PLAIN[2][0].fullmatch(text):
                return int(text)
            case tag if tag == _FLOAT and _PLAIN[3][0].fullmatch(text):
                return float(text)
            case _:
                self._refuse(node.start_mark.line + 1, path, _TAGGED)
                return text

    def _refuse(self, line: int, path: FieldPath, reason: str) -> None:
        self.problems.append((line, Problem(path, reason)))
