from __future__ import annotations

from typing import Any

import pytest

from deploy.logs.lines import Line
from deploy.logs.order import order_lines


def line(source: str, event: str, at_s: float, **values: Any) -> Line:
    return Line(at_s, source, source.partition("-")[0], "c", event, values, "{}")


def attached(at_s: float, epoch: int = 1, took_ms: float = 10.0) -> Line:
    return line("gateway", "worker_attached", at_s, epoch=epoch, took_ms=took_ms)


def test_lines_of_several_services_are_told_by_time() -> None:
    lines = [
        *(attached(10.0), line("gateway", "call_hung_up", 12.0)),
        *(line("agent", "call_taken", 9.995, epoch=1), line("agent", "call_ended", 11.0)),
    ]
    ordered = order_lines(lines)
    assert [one.event for one in ordered.lines] == [
        *("call_taken", "worker_attached", "call_ended", "call_hung_up")
    ]
    assert ordered.moved_s == {}


@pytest.mark.parametrize("skew_s", [-3.0, -0.25, 0.25, 30.0])
def test_a_worker_whose_clock_is_wrong_is_moved_into_its_place(skew_s: float) -> None:
    lines = [
        *(attached(10.0), line("gateway", "call_hung_up", 12.0)),
        line("agent", "call_taken", 9.995 + skew_s, epoch=1),
        line("agent", "call_ended", 11.5 + skew_s),
    ]
    ordered = order_lines(lines)
    assert [one.event for one in ordered.lines if one.event != "call_taken"] == [
        *("worker_attached", "call_ended", "call_hung_up")
    ]
    assert ordered.moved_s["agent"] == pytest.approx(-skew_s, abs=0.011)
    (ended,) = [one for one in ordered.lines if one.event == "call_ended"]
    assert ended.at_s == pytest.approx(11.5, abs=0.011)


def test_each_worker_is_judged_by_its_own_attach() -> None:
    lines = [
        *(attached(10.0, 1), attached(20.0, 2)),
        line("agent-1", "call_taken", 9.995, epoch=1),
        line("agent-2", "call_taken_over", 15.0, epoch=2),
    ]
    assert set(order_lines(lines).moved_s) == {"agent-2"}


def test_a_call_is_taken_over_some_time_after_its_worker_was_attached() -> None:
    lines = [attached(20.0, 2), line("agent-2", "call_taken_over", 20.9, epoch=2)]
    assert order_lines(lines).moved_s == {}


def test_a_source_keeps_its_own_order_although_its_clock_was_set_back() -> None:
    lines = [line("gateway", event, at_s) for event, at_s in (("a", 10.0), ("b", 7.0), ("c", 11.0))]
    assert [one.event for one in order_lines(lines).lines] == ["a", "b", "c"]
