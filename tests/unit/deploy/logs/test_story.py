from __future__ import annotations

from typing import Any

from deploy.logs.lines import Line
from deploy.logs.order import order_lines
from deploy.logs.story import Look, tell_story


def line(source: str, event: str, at_s: float, **values: Any) -> Line:
    service = "agent" if "agent" in source else "gateway"
    return Line(1767225600.0 + at_s, source, service, "c", event, values, "{}")


def story(*lines: Line, width: int = 80, has_colours: bool = False) -> list[str]:
    return list(tell_story(order_lines(lines), Look(width, has_colours)))


def test_a_story_begins_with_the_call_and_counts_from_its_first_line() -> None:
    told = story(
        line("gateway", "call_answered", 0.0, outcome="stream", trace_id="ab"),
        line("parley-agent-1", "call_ended", 1.25, turns=2, reason="agent_hung_up", level="info"),
    )
    assert told == [
        "call c",
        "2026-01-01 00:00:00 UTC, 2 lines over 1.2 s",
        "trace ab",
        "",
        "    0.000    gateway call_answered outcome=stream",
        "    1.250    agent   call_ended turns=2 reason=agent_hung_up",
    ]


def test_several_of_a_service_are_told_apart_by_their_own_names() -> None:
    told = story(line("parley-agent-1", "a", 0.0), line("parley-agent-2", "b", 0.5))
    assert [row.split()[1] for row in told[-2:]] == ["agent-1", "agent-2"]


def test_long_silences_are_pointed_out() -> None:
    told = story(line("gateway", "a", 0.0), line("gateway", "b", 1.9), line("gateway", "c", 5.0))
    assert [row.strip() for row in told if "without a line" in row] == ["3.1 s without a line"]


def test_nothing_is_wider_than_it_may_be_and_nothing_is_left_out() -> None:
    values = {f"key_{number}": "x" * 12 for number in range(20)}
    told = story(line("gateway", "call_summary", 0.0, **values), width=60)
    assert max(map(len, told)) <= 60
    assert all(f"{key}=" in " ".join(told) for key in values)


def test_faults_stand_out_and_say_where_they_came_from() -> None:
    frames = [{"filename": "call.py", "lineno": 7}]
    fault = [{"exc_type": "ValueError", "exc_value": "odd", "frames": frames}]
    told = story(
        line("agent", "part_failed", 0.0, level="warning"),
        line("agent", "call_crashed", 0.5, level="error", exception=fault),
    )
    assert "    0.000 !  agent part_failed" in told
    assert "    0.500 !! agent call_crashed" in told
    assert [row.strip() for row in told[-2:]] == ["ValueError: odd", "at call.py:7"]


def test_a_fault_that_is_written_in_another_form_is_passed_over() -> None:
    told = story(line("agent", "x", 0.0, exception=["odd", {"exc_type": "E"}]))
    assert [row.split() for row in told[-2:]] == [["E:"], ["at", "?:?"]]


def test_values_are_written_plainly_and_can_not_move_the_cursor() -> None:
    (row,) = story(
        line(
            "gateway",
            "x",
            0.0,
            is_a=True,
            b=1.50,
            c=["p", "q"],
            d={"r": 2},
            e="two words",
            f=None,
            g="\x1b[2Jgone",
        )
    )[-1:]
    assert row.endswith('is_a=yes b=1.5 c=p,q d=r:2 e="two words" g=" [2Jgone"')


def test_colours_are_for_terminals_alone() -> None:
    warning = line("gateway", "x", 0.0, level="warning")
    assert "\x1b" not in "".join(story(warning))
    assert "\x1b[33mx\x1b[0m" in "".join(story(warning, has_colours=True))


def test_a_clock_that_was_set_right_is_told_of() -> None:
    told = story(
        line("gateway", "worker_attached", 10.0, epoch=1, took_ms=10),
        line("agent", "call_taken", 7.0, epoch=1),
    )
    assert any("the clock of agent is 2.989 s behind" in row for row in told)
