"""PURE. A call's lines as people read them: times since its first, what happened, gaps."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from deploy.logs.lines import Line
from deploy.logs.order import Ordered

_GAP_S = 2.0
_TOLD_ELSEWHERE = frozenset(
    {"event", "level", "timestamp", "service", "call_id", "trace_id", "exception", "exc_info"}
)
_RED, _YELLOW, _DIM, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[1m", "\x1b[0m"
_MARKS = {"critical": "!!", "error": "!!", "warning": "! "}
_COLOURS = {"critical": _RED, "error": _RED, "warning": _YELLOW, "debug": _DIM}
_TIME, _MARK = 9, 2


@dataclass(frozen=True, slots=True)
class Look:
    """How wide, and whether in colours."""

    width: int = 80
    has_colours: bool = False

    def paint(self, text: str, colour: str) -> str:
        """Return a text in a colour, where there are any."""
        return f"{colour}{text}{_PLAIN}" if self.has_colours and colour else text


def tell_story(ordered: Ordered, look: Look) -> Iterator[str]:
    """Yield the lines of a call's story; there is at least one line to tell of."""
    lines = ordered.lines
    names = _short_names(lines)
    yield from _head(ordered, names, look)
    width = max(len(name) for name in names.values())
    first_s = last_s = lines[0].at_s
    for line in lines:
        if line.at_s - last_s >= _GAP_S:
            gap = f"{'':{_TIME}} {line.at_s - last_s:.1f} s without a line"
            yield look.paint(gap, _DIM)
        last_s = line.at_s
        yield from _told(line, first_s, f"{names[line.source]:{width}}", look)


def _head(ordered: Ordered, names: Mapping[str, str], look: Look) -> Iterator[str]:
    lines = ordered.lines
    began = datetime.fromtimestamp(lines[0].at_s, UTC)
    lasted_s = lines[-1].at_s - lines[0].at_s
    yield look.paint(f"call {lines[0].call_id}", _BOLD)
    yield f"{began:%Y-%m-%d %H:%M:%S} UTC, {len(lines)} lines over {lasted_s:.1f} s"
    trace = next((str(line.values["trace_id"]) for line in lines if "trace_id" in line.values), "")
    if trace:
        yield f"trace {trace}"
    for source, by_s in ordered.moved_s.items():
        way = "behind" if by_s > 0 else "ahead"
        yield f"the clock of {names[source]} is {abs(by_s):.3f} s {way}: its lines are moved"
    yield ""


def _short_names(lines: Sequence[Line]) -> dict[str, str]:
    """Return what each source is called: its service, with its own name where there are several."""
    of: dict[str, set[str]] = {}
    for line in lines:
        of.setdefault(line.service or line.source, set()).add(line.source)
    return {
        source: service if len(sources) == 1 else _tail(source, service)
        for service, sources in of.items()
        for source in sources
    }


def _tail(source: str, service: str) -> str:
    """Return the part of a source's name from its service's on: parley-agent-2 is agent-2."""
    at = source.rfind(service)
    return source[at:] if at >= 0 else source


def _told(line: Line, first_s: float, name: str, look: Look) -> Iterator[str]:
    mark = _MARKS.get(line.level, "  ")
    begin = f"{line.at_s - first_s:{_TIME}.3f} {mark:{_MARK}} {name} "
    said = " ".join([line.event, *_values(line.values)])
    rows = textwrap.wrap(
        said,
        max(20, look.width - len(begin)),
        subsequent_indent="  ",
        break_on_hyphens=False,
    )
    colour = _COLOURS.get(line.level, "")
    for number, row in enumerate(rows):
        shown = begin if number == 0 else " " * len(begin)
        yield shown + look.paint(row, colour)
    if line.values.get("exception"):
        for row in _exception(line.values["exception"]):
            yield " " * len(begin) + look.paint(row[: look.width - len(begin)], colour)


def _values(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if key not in _TOLD_ELSEWHERE and value is not None and value != "":
            yield f"{key}={_plain(value)}"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ",".join(_plain(one) for one in value)
    if isinstance(value, dict):
        return ",".join(f"{key}:{_plain(one)}" for key, one in value.items())
    # What a log says is not to move the cursor of whoever reads it.
    text = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", str(value))
    return f'"{text}"' if " " in text else text


def _exception(exception: Any) -> Iterator[str]:
    """Say what was raised, the cause last, and where."""
    for one in exception if isinstance(exception, list) else []:
        if not isinstance(one, dict):
            continue
        frames = one.get("frames") or [{}]
        last = frames[-1] if isinstance(frames[-1], dict) else {}
        where = f"{last.get('filename', '?')}:{last.get('lineno', '?')}"
        yield f"  {one.get('exc_type', '?')}: {_plain(one.get('exc_value', ''))}"
        yield f"    at {where}"
