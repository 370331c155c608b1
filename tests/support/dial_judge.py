"""PURE. Holds a dialler to its rules by the book of the cloud it dialled by way of.

The book is the simulated cloud's: every Make Call as it arrived and how the call ended. `judge`
needs nothing else; `judge_rows` compares what the dialler says of its rows with it, call by call.
Both return what is wrong, one sentence each, so that a test asserts that there is nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_SLACK_S = 0.05
_CATCHING_UP_S = 0.3
_UNANSWERED = {
    3010: "busy",
    3000: "no_answer",
    6010: "no_answer",
    3020: "rejected",
    3050: "invalid_number",
    2000: "invalid_number",
    3080: "failed",
    3090: "failed",
    5030: "failed",
    1000: "cancelled",
}
_MACHINE_FOUND = 9100
_ANSWERED = frozenset({"answered", "answered_then_failed"})


@dataclass(frozen=True, slots=True)
class Rule:
    """How often a number may be tried, and after which waits by outcome."""

    max_attempts: int
    after_s: Mapping[str, Sequence[float]]

    def wait_s(self, tries: Sequence[str]) -> float | None:
        """Return the wait after the last of these tries; None: the number is at its end."""
        waits = self.after_s.get(tries[-1], ())
        if len(tries) >= self.max_attempts or tries.count(tries[-1]) > len(waits):
            return None
        return waits[tries.count(tries[-1]) - 1]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the account is held to: new calls in any one second, calls at once.

    Seconds in which the cloud itself did not run (`stalls`, from and to) are not judged: what came
    meanwhile stands in its book as if it had come together.
    """

    cps: int
    concurrency: int
    stalls: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """One line of the book. `call_uuid` None: no telephone was dialled."""

    n: int
    at_s: float
    to_number: str
    call_id: str
    status: int | None
    call_uuid: str | None
    answered_s: float | None
    ended_s: float | None
    cause_code: int | None
    is_machine: bool

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Asked:
        """Read a line as `GET /simulator/dialled` has it."""
        return cls(
            n=line["n"],
            at_s=line["at_s"],
            to_number=line["to"],
            call_id=line["query"].get("c", ""),
            status=line["status"],
            call_uuid=line["call_uuid"],
            answered_s=line["answered_s"],
            ended_s=line["ended_s"],
            cause_code=line["cause_code"],
            is_machine=line["is_machine"],
        )

    @property
    def is_dialled(self) -> bool:
        """Whether a telephone was dialled, whatever the asker was told."""
        return self.call_uuid is not None

    @property
    def is_try(self) -> bool:
        """Whether the rule counts it: what was refused for the account's limits is none."""
        return self.is_dialled or self.status != 429

    @property
    def outcome(self) -> str:
        """What it came to; an answered call is `answered`, however it went on.

        A machine that the cloud did not hang up on for being one may be told as either.
        """
        if not self.is_dialled:
            return "failed" if self.status is None or self.status >= 500 else "refused"
        if self.ended_s is None or self.cause_code is None:
            return "up"
        if self.cause_code == _MACHINE_FOUND:
            return "machine"
        if self.answered_s is not None:
            return "answered"
        return _UNANSWERED.get(self.cause_code, f"cause {self.cause_code}")


@dataclass(frozen=True, slots=True)
class RowTold:
    """What the dialler says of a number: its state, and each try's call id and outcome."""

    to_number: str
    state: str
    outcome: str | None
    attempts: int
    tries: Sequence[tuple[str, str]]


def judge(book: Sequence[Asked], numbers: Iterable[str], rule: Rule, limits: Limits) -> list[str]:
    """Return what the book says against the dialler.

    A number that the book leaves before its rule's end is no fault here: the dialler may have been
    killed after it counted a try and before it asked. `unfinished` names those.
    """
    wrong = [*_of_limits(book, limits)]
    listed = set(numbers)
    for number, asked in by_number(book).items():
        if number not in listed:
            wrong.append(f"{number} is on no list")
        wrong += _of_number(number, asked, rule)
    return wrong


def unfinished(book: Sequence[Asked], numbers: Iterable[str], rule: Rule) -> list[str]:
    """Return the numbers that the book does not show at their rule's end."""
    asked = by_number(book)
    left = []
    for number in numbers:
        tries = [line.outcome for line in asked.get(number, []) if line.is_try]
        if not tries or rule.wait_s(tries) is not None or tries[-1] == "up":
            left.append(number)
    return left


def judge_rows(book: Sequence[Asked], rows: Sequence[RowTold], rule: Rule) -> list[str]:
    """Return where the dialler's rows and the book do not agree."""
    wrong: list[str] = []
    dialled = {line.call_id: line for line in book if line.is_dialled}
    told: set[str] = set()
    for row in rows:
        wrong += _of_row(row, dialled, rule)
        told.update(call_id for call_id, _ in row.tries)
    wrong += [
        f"{line.to_number} was dialled as {call_id}, and no row tells of it"
        for call_id, line in dialled.items()
        if call_id not in told
    ]
    return wrong


def unexplained(book: Sequence[Asked], rows: Sequence[RowTold]) -> list[str]:
    """Return the call ids of tries that the dialler counts and the cloud was never asked for."""
    known = {line.call_id for line in book}
    return [call_id for row in rows for call_id, _ in row.tries if call_id not in known]


def by_number(book: Iterable[Asked]) -> dict[str, list[Asked]]:
    """Return the lines of each number, in order of arrival."""
    found: dict[str, list[Asked]] = defaultdict(list)
    for line in sorted(book, key=lambda line: line.at_s):
        found[line.to_number].append(line)
    return dict(found)


def most_in_a_second(times_s: Sequence[float], stalls: Sequence[tuple[float, float]] = ()) -> int:
    """Return the most of these times in any one second, its end not included.

    Seconds that touch a stall, or what is made up for after it, don't count.
    """
    ordered, first, most = sorted(times_s), 0, 0
    for index, at_s in enumerate(ordered):
        while ordered[first] <= at_s - 1.0:
            first += 1
        if not _is_stalled(at_s, stalls):
            most = max(most, index - first + 1)
    return most


def share_stalled(times_s: Sequence[float], stalls: Sequence[tuple[float, float]]) -> float:
    """Return for what share of these times the second that ends there is not judged."""
    return sum(_is_stalled(at_s, stalls) for at_s in times_s) / max(1, len(times_s))


def _is_stalled(at_s: float, stalls: Sequence[tuple[float, float]]) -> bool:
    return any(begin <= at_s and at_s - 1.0 <= end + _CATCHING_UP_S for begin, end in stalls)


def most_at_once(book: Iterable[Asked]) -> int:
    """Return the most calls ringing or talking at the same time."""
    steps = []
    for line in book:
        if line.is_dialled:
            steps.append((line.at_s, 1))
            steps.append((float("inf") if line.ended_s is None else line.ended_s, -1))
    up = most = 0
    for _, step in sorted(steps):
        up += step
        most = max(most, up)
    return most


def _of_limits(book: Sequence[Asked], limits: Limits) -> Iterable[str]:
    asked = most_in_a_second([line.at_s for line in book], limits.stalls)
    if asked > limits.cps:
        yield f"{asked} calls asked for in one second, {limits.cps} allowed"
    up = most_at_once(book)
    if up > limits.concurrency:
        yield f"{up} calls at once, {limits.concurrency} allowed"


def _of_number(number: str, asked: Sequence[Asked], rule: Rule) -> Iterable[str]:
    tries = [line for line in asked if line.is_try]
    if len(tries) > rule.max_attempts:
        yield f"{number} tried {len(tries)} times, {rule.max_attempts} allowed"
    dialled = [line for line in asked if line.is_dialled]
    for before, after in pairwise(dialled):
        if before.ended_s is None or after.at_s < before.ended_s:
            yield f"{number} dialled as {after.call_id} while {before.call_id} was up"
    if len({line.call_id for line in dialled}) < len(dialled):
        yield f"{number} dialled twice for one try"
    for index in range(1, len(tries)):
        outcomes = [line.outcome for line in tries[:index]]
        wait_s = rule.wait_s(outcomes)
        if wait_s is None:
            yield f"{number} tried again after {', '.join(outcomes)}"
            continue
        before = tries[index - 1]
        waited_s = tries[index].at_s - (before.ended_s or before.at_s)
        if waited_s < wait_s - _SLACK_S:
            yield f"{number} tried {waited_s:.2f} s after {outcomes[-1]}, not after {wait_s} s"


def _of_row(row: RowTold, dialled: Mapping[str, Asked], rule: Rule) -> Iterable[str]:
    number, outcomes = row.to_number, [outcome for _, outcome in row.tries]
    if row.state != "ended" or row.outcome is None:
        yield f"{number} is {row.state}"
    elif not outcomes:
        yield f"{number} ended as {row.outcome} without a try"
    else:
        if row.outcome != outcomes[-1]:
            yield f"{number} ended as {row.outcome}, its last try as {outcomes[-1]}"
        if rule.wait_s(outcomes) is not None:
            yield f"{number} ended after {', '.join(outcomes)} before its rule did"
    if row.attempts != len(outcomes):
        yield f"{number} counts {row.attempts} tries and tells of {len(outcomes)}"
    for call_id, outcome in row.tries:
        line = dialled.get(call_id)
        if line is None:
            if outcome not in ("failed", "refused"):
                yield f"{number} is said to be {outcome} by {call_id}, which was never dialled"
        elif line.to_number != number:
            yield f"{call_id} dialled {line.to_number}, and the row says {number}"
        elif outcome != line.outcome and not _is_answer(line, outcome):
            yield f"{number} is said to be {outcome} by {call_id}, which came to {line.outcome}"


def _is_answer(line: Asked, outcome: str) -> bool:
    told = _ANSWERED | {"machine"} if line.is_machine else _ANSWERED
    return line.outcome == "answered" and outcome in told
