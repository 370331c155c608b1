"""The judge of a dialler's book: it has to object to every way of breaking the rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.dial_judge import (
    Asked,
    Limits,
    RowTold,
    Rule,
    judge,
    judge_rows,
    most_at_once,
    most_in_a_second,
    share_stalled,
    unexplained,
    unfinished,
)

A, B = "+918000000002", "+918000000003"
RULE = Rule(3, {"busy": (2, 4), "no_answer": (3,), "failed": (1, 1)})
LIMITS = Limits(cps=2, concurrency=2)


def asked(at_s: float, number: str = A, code: int = 3010, **more: Any) -> Asked:
    """A call that rang for a second; answered where its code is 4000."""
    name = f"{number[-1]}@{at_s}"
    line = Asked(
        n=0,
        at_s=at_s,
        to_number=number,
        call_id=name,
        status=201,
        call_uuid=f"uuid-{name}",
        answered_s=at_s + 0.5 if code == 4000 else None,
        ended_s=at_s + 1,
        cause_code=code,
        is_machine=False,
    )
    return replace(line, **more)


def refused(at_s: float, status: int | None, number: str = A) -> Asked:
    """A request that dialled nobody; a status of None is an answer that was lost."""
    nothing: dict[str, Any] = {
        "call_uuid": None,
        "ended_s": None,
        "answered_s": None,
        "cause_code": None,
    }
    return asked(at_s, number, status=status, **nothing)


def objections(*book: Asked, numbers: tuple[str, ...] = (A, B)) -> list[str]:
    return judge(book, numbers, RULE, LIMITS)


GOOD = (asked(0), asked(3.1), refused(8.2, 429), asked(9.3, code=4000), asked(0.4, B, 4000))


def test_a_book_that_keeps_to_the_rules_is_not_objected_to() -> None:
    assert objections(*GOOD) == []
    assert unfinished(GOOD, (A, B), RULE) == []


@pytest.mark.parametrize(
    ("book", "said"),
    [
        ([asked(0, code=4000), asked(9)], f"{A} tried again after answered"),
        ([asked(0, code=9100), asked(9)], f"{A} tried again after machine"),
        ([asked(0, code=3020), asked(9)], f"{A} tried again after rejected"),
        ([asked(0, code=3000), asked(5, code=3000), asked(9)], "after no_answer, no_answer"),
        ([asked(0), asked(9), asked(19), asked(29)], f"{A} tried 4 times, 3 allowed"),
        ([asked(0), asked(2.5)], f"{A} tried 1.50 s after busy, not after 2 s"),
        ([asked(0), asked(4), asked(8)], f"{A} tried 3.00 s after busy, not after 4 s"),
        ([asked(0), refused(0.3, 503)], f"{A} tried -0.70 s after busy"),
        ([refused(0, None), asked(0.4)], f"{A} tried 0.40 s after failed, not after 1 s"),
        ([refused(0, 400), asked(5)], f"{A} tried again after refused"),
        ([asked(0), asked(0.5)], f"{A} dialled as 2@0.5 while 2@0 was up"),
        ([asked(0, ended_s=None, cause_code=None), asked(9)], f"{A} dialled as 2@9 while 2@0"),
        ([asked(0, call_id="x"), asked(4, call_id="x")], f"{A} dialled twice for one try"),
        ([asked(0, "+918000000009")], "+918000000009 is on no list"),
        ([asked(0), asked(0.4, B), refused(0.9, 429, B)], "3 calls asked for in one second"),
        (
            [asked(0, ended_s=9), asked(2, B), asked(2.5, "+918000000004", 4000)],
            "3 calls at once, 2 allowed",
        ),
    ],
)
def test_every_breach_is_objected_to(book: list[Asked], said: str) -> None:
    found = objections(*book)
    assert any(said in sentence for sentence in found), found


def test_a_number_is_unfinished_until_its_rule_is_used_up() -> None:
    assert unfinished([], (A,), RULE) == [A]
    assert unfinished([asked(0)], (A,), RULE) == [A]
    assert unfinished([refused(0, 429)], (A,), RULE) == [A]
    assert unfinished([asked(0, ended_s=None, cause_code=None)], (A,), RULE) == [A]
    assert unfinished([asked(0), asked(9), asked(19)], (A,), RULE) == []
    assert unfinished([asked(0, code=3020)], (A,), RULE) == []


def test_a_second_begins_anywhere_and_leaves_out_its_end() -> None:
    assert most_in_a_second([0.0, 1.0, 2.0]) == 1
    assert most_in_a_second([0.0, 0.9, 1.8, 1.85, 1.87]) == 4
    assert most_in_a_second([]) == 0


def test_seconds_in_which_the_cloud_did_not_run_are_not_judged() -> None:
    times = [0.0, 0.1, 5.0, 5.01, 5.02, 5.03, 9.0]
    assert most_in_a_second(times) == 4
    assert most_in_a_second(times, [(4.2, 4.99)]) == 2
    assert share_stalled(times, [(4.2, 4.99)]) == pytest.approx(4 / 7)
    assert share_stalled([], []) == 0


def test_a_call_that_ends_as_another_begins_leaves_its_channel() -> None:
    assert most_at_once([asked(0), asked(1, B)]) == 1
    assert most_at_once([asked(0), asked(0.9, B)]) == 2
    assert most_at_once([refused(0, 429), refused(0, 503)]) == 0


def row(number: str, *tries: tuple[str, str], **more: Any) -> RowTold:
    told = RowTold(number, "ended", tries[-1][1] if tries else None, len(tries), tries)
    return replace(told, **more)


BOOK = [asked(0), refused(4, 503), asked(9, code=4000), asked(0, B, 3020)]
TOLD = [
    row(A, ("2@0", "busy"), ("2@4", "failed"), ("2@9", "answered")),
    row(B, ("3@0", "rejected")),
]


def test_rows_that_tell_what_the_book_says_are_not_objected_to() -> None:
    assert judge_rows(BOOK, TOLD, RULE) == []
    fault = row(A, ("2@0", "busy"), ("2@4", "failed"), ("2@9", "answered_then_failed"))
    assert judge_rows(BOOK, [fault, TOLD[1]], RULE) == []
    machine = [row(A, ("2@0", "machine"))]
    assert judge_rows([asked(0, code=4000, is_machine=True)], machine, RULE) == []
    assert judge_rows([asked(0, code=4000)], machine, RULE) != []


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (row(B, ("3@0", "busy")), f"{B} is said to be busy by 3@0, which came to rejected"),
        (row(B, ("3@1", "rejected")), "by 3@1, which was never dialled"),
        (row(B), f"{B} ended as None without a try"),
        (row(B, outcome="failed"), f"{B} ended as failed without a try"),
        (row(B, ("3@0", "rejected"), state="placed"), f"{B} is placed"),
        (row(B, ("3@0", "rejected"), outcome="busy"), "ended as busy, its last try as rejected"),
        (row(B, ("3@0", "rejected"), attempts=2), f"{B} counts 2 tries and tells of 1"),
        (row(B, ("3@0", "rejected"), ("3@8", "failed")), "before its rule did"),
        (row(B, ("2@0", "busy"), ("3@0", "rejected")), f"2@0 dialled {A}, and the row says {B}"),
        (row(B, ("3@9", "failed")), f"{B} was dialled as 3@0, and no row tells of it"),
    ],
)
def test_every_disagreement_is_found(told: RowTold, said: str) -> None:
    found = judge_rows(BOOK, [TOLD[0], told], RULE)
    if told.outcome is None:
        said = f"{B} is ended"
    assert any(said in sentence for sentence in found), found


def test_tries_that_the_cloud_was_never_asked_for_are_named() -> None:
    assert unexplained(BOOK, TOLD) == []
    assert unexplained(BOOK, [row(B, ("3@77", "failed"))]) == ["3@77"]


def test_a_line_is_read_as_the_cloud_writes_it() -> None:
    line = {
        "n": 7,
        "at_s": 10.5,
        "to": A,
        "query": {"c": "our-id"},
        "status": 201,
        "call_uuid": "u1",
        "answered_s": 11.0,
        "ended_s": 12.0,
        "cause_code": 9100,
        "is_machine": True,
    }
    read = Asked.of(line)
    assert (read.call_id, read.outcome, read.is_try) == ("our-id", "machine", True)
    assert Asked.of(line | {"answered_s": None, "cause_code": 9999}).outcome == "cause 9999"
    assert Asked.of(line | {"query": {}}).call_id == ""
