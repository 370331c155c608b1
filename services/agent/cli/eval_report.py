"""PURE. The results of scripted conversations as a table of 80 columns, and as JUnit's XML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from xml.etree import ElementTree as ET

from services.agent.cli.eval_outcome import Judged, ScenarioResult

COLUMNS = 80
_TIMES = 22
_INDENT = " " * 8


def turn_lines(result: ScenarioResult) -> Iterator[str]:
    """Yield one line a turn, and under a turn with faults what was expected and what came."""
    yield _cut(result.name, COLUMNS)
    for turn in result.turns:
        mark = "FAIL" if turn.faults else "ok"
        room = COLUMNS - 7 - _TIMES
        yield f"  {mark:4} {_cut(turn.what, room):{room}}{_times(turn):>{_TIMES}}"
        for fault in turn.faults:
            yield from _wrapped("expected ", fault.expected)
            yield from _wrapped("came     ", fault.came)


def _times(turn: Judged) -> str:
    first = turn.outcome.first_ms
    words = f"{first:.0f} ms" if first is not None else "-"
    return f"{words} / {turn.outcome.total_ms:.0f} ms"


def _wrapped(label: str, text: str) -> Iterator[str]:
    lines = wrap(text, COLUMNS - len(_INDENT) - len(label)) or [""]
    yield f"{_INDENT}{label}{lines[0]}"
    for line in lines[1:]:
        yield f"{_INDENT}{' ' * len(label)}{line}"


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 4]}... "


def summary(results: Sequence[ScenarioResult]) -> str:
    """Return the last line: how much was run and how much of it failed."""
    turns = sum(len(result.turns) for result in results)
    failed = sum(1 for result in results for turn in result.turns if turn.faults)
    scenarios = sum(1 for result in results if not result.is_passed)
    verdict = f"{failed} failed, in {scenarios} of them" if failed else "all passed"
    return f"{len(results)} conversations, {turns} turns: {verdict}"


def junit(agent: str, results: Sequence[ScenarioResult]) -> str:
    """Return the results as JUnit writes them, one case a conversation."""
    failures = sum(1 for result in results if not result.is_passed)
    suite = ET.Element(
        "testsuite", name=f"eval {agent}", tests=str(len(results)), failures=str(failures)
    )
    for result in results:
        seconds = sum(turn.outcome.total_ms for turn in result.turns) / 1000
        case = ET.SubElement(
            suite, "testcase", classname=agent, name=result.name, time=f"{seconds:.3f}"
        )
        faults = [(turn.what, fault) for turn in result.turns for fault in turn.faults]
        if faults:
            text = "\n".join(f"{w}: expected {f.expected}; came {f.came}" for w, f in faults)
            failure = ET.SubElement(case, "failure", message=f"{len(faults)} faults")
            failure.text = text
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
