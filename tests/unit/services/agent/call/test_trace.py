"""One call's spans on its worker, made of what is measured."""

from __future__ import annotations

import pytest

from services.agent.call.trace import CallTrace
from services.agent.providers.base import ToolUsed
from services.agent.turn.events import Measure, Stage
from shared.protocol.call import CallId, WorkerId
from shared.protocol.trace import SpanPlace, root_of
from shared.protocol.worker import LinkRequest
from shared.runtime.tracing import NO_TRACER, Span, Tracer
from tests.support.clock import ManualClock

ROOT = root_of("c", 1.0)
ATTACH = SpanPlace(ROOT.trace_id, "00f067aa0ba902b7")
TURN = {
    Stage.ENDPOINTING: 0.5,
    Stage.TRANSCRIPTION: 0.25,
    Stage.BRAIN: 0.0,
    Stage.SYNTHESIS: 0.125,
    Stage.PLATFORM: 0.0,
}


class Stand:
    def __init__(self, *, resume: bool = False, trace: SpanPlace | None = ATTACH) -> None:
        self.clock = ManualClock()
        self.spans: list[Span] = []
        request = LinkRequest(CallId("c"), resume=resume, trace=trace)
        tracer = Tracer(self.spans.append, self.clock)
        self.trace = CallTrace(tracer, request, "default", WorkerId("w"))

    def named(self, name: str) -> Span:
        (only,) = [span for span in self.spans if span.name == name]
        return only

    def measure_turn(self) -> None:
        for stage, seconds in TURN.items():
            self.trace.on_measure(Measure(stage, seconds))
        self.trace.on_measure(Measure(Stage.TOTAL, sum(TURN.values())))


def seconds(span: Span) -> float:
    return (span.ended_ns - span.began_ns) / 1e9


def test_the_call_is_told_of_at_once_and_under_the_gateways_span() -> None:
    stand = Stand()
    stand.trace.on_taken()
    stand.trace.on_taken()
    told = stand.named("take_call")
    assert (told.parent_id, told.links) == (ATTACH.span_id, [])
    assert told.place.serialize() == stand.trace.kept


def test_a_span_of_another_trace_is_not_taken_for_the_gateways() -> None:
    stand = Stand(trace=SpanPlace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"))
    stand.trace.on_taken("garbage")
    assert stand.named("take_call").parent_id == ROOT.span_id


def test_another_workers_call_is_followed_from_the_opening_of_its_link() -> None:
    before = SpanPlace(ROOT.trace_id, "1111111111111111")
    stand = Stand(resume=True)
    stand.trace.on_taken(before.serialize(), stand.clock.now_s() - 0.5)
    told = stand.named("take_over")
    assert (told.links, seconds(told)) == ([before], 0.5)


def test_the_stages_of_a_turn_follow_each_other_under_it() -> None:
    stand = Stand()
    stand.trace.on_taken()
    stand.trace.on_asked("turn")
    asked_for = stand.trace.concern
    stand.clock.advance(2.0)
    stand.measure_turn()
    turn = stand.named("turn")
    assert (turn.place, turn.attributes["is_heard"]) == (asked_for.span, True)
    assert seconds(turn) == 0.875
    stages = [stand.named(stage.value) for stage in TURN]
    assert {stage.parent_id for stage in stages} == {turn.place.span_id}
    assert [seconds(stage) for stage in stages] == list(TURN.values())
    assert stages[0].began_ns == turn.began_ns
    assert stages[-1].ended_ns == turn.ended_ns
    assert stand.trace.concern == asked_for


def test_an_answer_that_nobody_heard_is_told_of_when_the_next_is_asked() -> None:
    stand = Stand()
    stand.trace.on_asked("turn")
    first = stand.trace.concern
    stand.clock.advance(0.5)
    stand.trace.on_sentence()
    stand.clock.advance(5.0)
    stand.trace.on_asked("turn")
    told = stand.named("turn")
    assert (told.place, told.attributes["is_heard"], seconds(told)) == (first.span, False, 0.5)
    assert stand.trace.concern != first


def test_a_greeting_lasts_until_its_first_sound() -> None:
    stand = Stand()
    stand.trace.on_asked("greeting")
    stand.clock.advance(0.75)
    stand.trace.on_measure(Measure(Stage.FIRST_AUDIO, 0.01))
    assert seconds(stand.named("greeting")) == 0.75


@pytest.mark.parametrize("stage", [Stage.BARGE_IN, Stage.CLEAR_ACK])
def test_what_is_no_stage_of_a_turn_ends_when_it_is_measured(stage: Stage) -> None:
    stand = Stand()
    stand.trace.on_measure(Measure(stage, 0.125))
    assert seconds(stand.named(stage.value)) == 0.125


def test_a_tool_is_told_by_its_name_and_outcome_alone() -> None:
    stand = Stand()
    stand.trace.on_tool(ToolUsed("look_up", {"number": "918000000001"}, "ok", "secret", 0.25))
    stand.trace.on_tool(ToolUsed("say what he said", {}, "refused", "", 0.0))
    fine, odd = stand.spans
    assert (fine.attributes, seconds(fine), fine.error) == (
        {"call_id": "c", "tool": "look_up", "outcome": "ok"},
        0.25,
        "",
    )
    assert (odd.attributes, odd.error) == ({"call_id": "c", "outcome": "refused"}, "refused")


def test_the_whole_is_told_at_the_end_with_what_was_under_way() -> None:
    stand = Stand()
    stand.trace.on_taken()
    stand.trace.on_asked("turn")
    stand.clock.advance(3.0)
    stand.trace.close("agent_failed", stand.clock.now_s() - 2.0, error="agent_failed")
    told = stand.named("session")
    assert (seconds(told), told.error) == (2.0, "agent_failed")
    assert told.parent_id == stand.named("take_call").place.span_id
    assert not stand.named("turn").attributes["is_heard"]


def test_a_call_that_another_worker_began_lasts_here_from_its_coming() -> None:
    stand = Stand(resume=True)
    stand.clock.advance(1.0)
    stand.trace.close("left_handover", stand.clock.now_s() - 60.0)
    assert seconds(stand.named("session")) == 1.0


def test_an_errand_is_told_when_it_is_over() -> None:
    stand = Stand()
    began_s = stand.clock.now_s()
    stand.clock.advance(4.0)
    stand.trace.on_errand("transfer", began_s, "back")
    told = stand.named("errand")
    assert (told.attributes["kind"], told.attributes["outcome"], seconds(told)) == (
        "transfer",
        "back",
        4.0,
    )


def test_nothing_is_kept_or_told_where_nothing_is_traced() -> None:
    trace = CallTrace(NO_TRACER, LinkRequest(CallId("c")), "default", WorkerId("w"))
    trace.on_taken()
    before = trace.concern
    trace.on_asked("turn")
    trace.on_measure(Measure(Stage.TOTAL, 1.0))
    trace.close("x", None)
    assert (trace.concern, trace.kept) == (before, "")
