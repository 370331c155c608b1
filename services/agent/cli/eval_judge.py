"""PURE. Whether what an agent did in a turn is what was expected."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from services.agent.cli.eval_outcome import Fault, Outcome
from services.agent.cli.eval_scenario import Expected, Said, ToolExpected, Within


def judge(
    expected: Expected, outcome: Outcome, *, within: Within | None, may_end: bool
) -> list[Fault]:
    """Return every fault of a turn.

    Args:
        expected: what the scenario says.
        outcome: what came.
        within: budgets where the turn states none.
        may_end: whether an end of the call that nobody expects is let pass.
    """
    return [
        *_error(outcome),
        *_words(expected, outcome.said),
        *_tools(expected, outcome),
        *_end(expected, outcome, may_end=may_end),
        *_times(expected.within_ms or within, outcome),
    ]


def _error(outcome: Outcome) -> Iterator[Fault]:
    if outcome.error is not None:
        yield Fault("an answer", outcome.error)


def _words(expected: Expected, said: str) -> Iterator[Fault]:
    came = f'"{said}"' if said else "not a word"
    if expected.says is not None:
        yield from (Fault(f"says {text}", came) for text in _missing(expected.says, said))
    if expected.not_says is not None:
        patterns = (*expected.not_says.all_of, *expected.not_says.any_of)
        yield from (Fault(f"does not say /{p}/", came) for p in patterns if _is_in(p, said))
    if expected.says_nothing and said:
        yield Fault("not a word", came)


def _missing(expected: Said, said: str) -> Iterator[str]:
    yield from (f"/{pattern}/" for pattern in expected.all_of if not _is_in(pattern, said))
    if expected.any_of and not any(_is_in(pattern, said) for pattern in expected.any_of):
        yield f"one of {', '.join(f'/{pattern}/' for pattern in expected.any_of)}"


def _is_in(pattern: str, said: str) -> bool:
    return re.search(pattern, said, re.IGNORECASE) is not None


def _tools(expected: Expected, outcome: Outcome) -> Iterator[Fault]:
    used = [f"{tool.name} {_json(tool.arguments)}" for tool in outcome.tools]
    came = ", ".join(used) or "no tool"
    if expected.no_tool and used:
        yield Fault("no tool", came)
    wanted = expected.tool
    if wanted is not None and not any(
        tool.name == wanted.name and is_within(wanted.arguments, tool.arguments)
        for tool in outcome.tools
    ):
        yield Fault(f"tool {_tool(wanted)}", came)


def _tool(wanted: ToolExpected) -> str:
    return f"{wanted.name} {_json(wanted.arguments)}" if wanted.arguments else wanted.name


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def is_within(wanted: Any, given: Any) -> bool:
    """Whether a value holds all that is wanted: mappings in part, `/texts/` by pattern."""
    if isinstance(wanted, Mapping):
        return isinstance(given, Mapping) and all(
            key in given and is_within(part, given[key]) for key, part in wanted.items()
        )
    if isinstance(wanted, str) and len(wanted) > 2 and wanted[0] == wanted[-1] == "/":
        return _is_in(wanted[1:-1], str(given))
    return bool(wanted == given)


def _end(expected: Expected, outcome: Outcome, *, may_end: bool) -> Iterator[Fault]:
    came = _came_of(outcome)
    if expected.ends is not None and outcome.ends != expected.ends:
        yield Fault(f"the call ends: {expected.ends}", came)
    if expected.transfers is not None and outcome.transfers != expected.transfers:
        yield Fault(f"a transfer to {expected.transfers}", came)
    is_expected = expected.ends is not None or expected.transfers is not None
    if outcome.is_over and not is_expected and not may_end:
        yield Fault("the call goes on", came)
    if expected.language is not None and outcome.language != expected.language:
        yield Fault(f"language {expected.language}", outcome.language)


def _came_of(outcome: Outcome) -> str:
    if outcome.transfers is not None:
        return f"a transfer to {outcome.transfers}"
    return "the call goes on" if outcome.ends is None else f"the call ends: {outcome.ends}"


def _times(within: Within | None, outcome: Outcome) -> Iterator[Fault]:
    if within is None:
        return
    first_ms = outcome.first_ms
    if within.first is not None and first_ms is not None and first_ms > within.first:
        yield Fault(f"first words within {within.first:g} ms", f"{first_ms:g} ms")
    if within.total is not None and outcome.total_ms > within.total:
        yield Fault(f"the answer within {within.total:g} ms", f"{outcome.total_ms:g} ms")
