"""Two calls through real processes, one of which loses its worker: their traces and their logs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.logs.__main__ import main as parley_logs
from shared.protocol.trace import root_of
from tests.support.collector import Collector, Told, running_collector
from tests.support.processes import Crew, Process, reports_in
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

GREETING = "Hello there. This greeting takes a while. Somebody is lost in it, and it goes on."
CALLER, CALLED = "+918000000001", "+918000000002"
SLACK_S = 0.01
"""Between the clocks of two processes of one machine, and the rounding of their moments."""
STAGES = ["endpointing", "transcription", "brain", "synthesis", "platform"]


@dataclass
class Stage:
    """What was played, and all that is left of it."""

    collector: Collector
    inbound: str = ""
    outbound: str = ""
    lost_worker: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)

    def spans(self, call_id: str, *names: str) -> list[Told]:
        return [span for span in self.collector.of_call(call_id) if span.name in names]

    def span(self, call_id: str, name: str) -> Told:
        (only,) = self.spans(call_id, name)
        return only


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    redis.start()
    with running_collector() as collector:
        crew = Crew(
            tmp_path_factory.mktemp("crew"),
            redis.url,
            has_dialer=True,
            settings={
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
                "GATEWAY_RESERVE_S": "2",
                "REDIS_TIMEOUT_S": "5",
            },
        )
        crew.write_agent(GREETING)
        try:
            crew.start()
            played = Stage(collector)
            _play(crew, played, tmp_path_factory.mktemp("calls"))
            time.sleep(0.7)  # what was told last is on its way
        finally:
            crew.stop()
            redis.stop()
        played.logs = [str(file) for file in sorted((crew.directory / "logs").glob("*.log"))]
        played.lines = [
            line
            for process in (*crew.gateways, *crew.workers, *crew.others)
            if process.name != "simulator"
            for line in process.log
        ]
        yield played


def _play(crew: Crew, played: Stage, folder: Path) -> None:
    """A caller listens, loses the worker, says goodbye; who is dialled meanwhile says it too."""
    load = crew.load(folder, 1, 0, "--say", "Goodbye.", "--patience", "25")
    try:
        taken = _first(played.collector, "relay", "take_call")
        played.inbound = taken.attributes["call_id"]
        played.lost_worker = taken.attributes["worker_id"]
        _process_of(crew, played.lost_worker).kill()
        played.outbound = _dial(crew)
        load.wait(60)
    finally:
        load.kill()
    (report,) = reports_in(folder)
    assert report["call_uuid"] == played.inbound
    for call_id in (played.inbound, played.outbound):
        played.collector.wait_for(call_id, "session", "hangup", "relay", limit_s=40)


def _dial(crew: Crew) -> str:
    person = {"number": "*", "outcome": "answer", "say": ["Goodbye."]}
    with httpx.Client(timeout=10, trust_env=False) as client:
        client.post(f"{crew.simulator_url}/simulator/people", json=person).raise_for_status()
        order = {"to": CALLED, "from": CALLER}
        placed = client.post(f"{crew.dialer_url}/v1/calls", json=order)
        return str(placed.raise_for_status().json()["call_id"])


def _first(collector: Collector, *names: str) -> Told:
    deadline_s = time.monotonic() + 20
    while time.monotonic() < deadline_s:
        for span in list(collector.spans):
            if span.name in names and "worker_id" in span.attributes:
                return span
        time.sleep(0.05)
    raise TimeoutError(f"none of {names}")


def _process_of(crew: Crew, worker_id: str) -> Process:
    return next(process for process in crew.workers if str(process.pid) in worker_id.split("-"))


def test_all_spans_of_a_call_are_in_its_trace(stage: Stage) -> None:
    for call_id in (stage.inbound, stage.outbound):
        spans = stage.collector.of_call(call_id)
        assert {span.trace_id for span in spans} == {root_of(call_id, 1.0).trace_id}
        assert len({span.span_id for span in spans}) == len(spans)
    assert len({span.trace_id for span in stage.collector.spans}) == 2


def test_every_parent_is_there_and_had_begun(stage: Stage) -> None:
    for call_id, first in ((stage.inbound, "answer"), (stage.outbound, "dial")):
        spans = stage.collector.of_call(call_id)
        known = {span.span_id: span for span in spans}
        assert [span.name for span in spans if not span.parent_id] == [first]
        for span in spans:
            assert span.began_s <= span.ended_s
            assert span.ended_s - span.began_s < 60
            if span.parent_id:
                parent = known[span.parent_id]
                assert parent.began_s - SLACK_S <= span.began_s, (span, parent)


def test_services_have_their_parts_of_it(stage: Stage) -> None:
    names = {
        service: {
            span.name
            for span in stage.collector.of_call(stage.outbound)
            if span.service == f"parley-{service}"
        }
        for service in ("gateway", "agent", "dialer")
    }
    assert names["dialer"] == {"dial"}
    assert names["gateway"] >= {
        *("answer", "attach", "reserve", "connect", "caller_socket", "relay", "hangup"),
    }
    assert names["agent"] >= {"take_call", "greeting", "turn", "request", "session", *STAGES}


def test_a_worker_is_part_of_the_connection_that_brought_the_call(stage: Stage) -> None:
    took = stage.span(stage.outbound, "take_call")
    connect = stage.spans(stage.outbound, "connect")[-1]  # the lost worker may be tried first
    attach = stage.span(stage.outbound, "attach")
    assert (took.parent_id, connect.parent_id) == (connect.span_id, attach.span_id)
    assert took.ended_s <= connect.ended_s + SLACK_S
    assert took.attributes["agent"] == "default"


def test_the_stages_of_a_turn_follow_each_other_and_fill_it(stage: Stage) -> None:
    for call_id in (stage.inbound, stage.outbound):
        (turn,) = [s for s in stage.spans(call_id, "turn") if s.attributes["is_heard"]]
        stages = {s.name: s for s in stage.spans(call_id, *STAGES)}
        assert {s.parent_id for s in stages.values()} == {turn.span_id}
        at_s = turn.began_s
        for name in STAGES:
            assert stages[name].began_s == pytest.approx(at_s, abs=1e-4)
            at_s = stages[name].ended_s
        assert at_s == pytest.approx(turn.ended_s, abs=1e-3)
        assert 0.1 < turn.ended_s - turn.began_s < 5.0


def test_requests_of_providers_stand_under_what_they_were_made_for(stage: Stage) -> None:
    known = {span.span_id: span.name for span in stage.collector.of_call(stage.outbound)}
    requests = stage.spans(stage.outbound, "request")
    under = {(span.attributes["kind"], known[span.parent_id]) for span in requests}
    assert under == {("stt", "take_call")}
    assert {span.attributes["provider"] for span in requests} == {"offline"}


def test_the_next_worker_follows_the_one_that_was_killed(stage: Stage) -> None:
    call_id = stage.inbound
    took, over = stage.span(call_id, "take_call"), stage.span(call_id, "take_over")
    assert took.attributes["worker_id"] == stage.lost_worker
    assert over.attributes["worker_id"] != stage.lost_worker
    (line,) = [line for line in stage.lines if line["event"] == "call_taken_over"]
    # On a machine that is too busy the claim of the snapshot can come too late.
    assert over.links == ((took.span_id,) if line["is_restored"] else ())
    first, second = stage.spans(call_id, "attach")
    assert second.links == (first.span_id,)
    assert (first.attributes["is_resumed"], second.attributes["is_resumed"]) == (False, True)
    (again,) = stage.spans(call_id, "reattach")
    assert again.attributes["cause"] == "broken"
    assert again.began_s <= over.began_s <= again.ended_s + SLACK_S
    lost, last = stage.spans(call_id, "relay")
    assert lost.ended_s <= again.ended_s <= last.began_s + SLACK_S
    session = stage.span(call_id, "session")
    assert session.parent_id == over.span_id
    assert session.attributes["reason"] == "agent_hung_up"


def test_no_span_tells_numbers_words_or_secrets(stage: Stage) -> None:
    text = json.dumps([span.attributes for span in stage.collector.spans])
    for secret in (CALLER[1:], CALLED[1:], "oodbye", "Hello", "parley-local", "ws://", "http"):
        assert secret not in text, secret


def test_every_line_about_a_call_names_it_and_its_trace(stage: Stage) -> None:
    """What is told of a call in one line is never told in another without saying of which."""
    calls = {stage.inbound: 0, stage.outbound: 0}
    named, nameless = set(), set()
    for line in stage.lines:
        call_id = line.get("call_id")
        if call_id in calls:
            calls[call_id] += 1
            named.add(line["event"])
            assert line["trace_id"] == root_of(call_id, 1.0).trace_id, line
        else:
            nameless.add(line["event"])
        assert not any(call in json.dumps(line) for call in calls if call != call_id), line
    assert nameless & named == set()
    assert [event for event in nameless if event.startswith(_ABOUT_A_CALL)] == []
    assert min(calls.values()) >= 5
    assert named >= {"call_taken", "media_socket_open", "call_ended", "worker_replaced"}


_ABOUT_A_CALL = (
    *(
        "call_",
        "media_",
        "link_closed",
        "worker_attached",
        "worker_replaced",
        "errand_",
        "part_",
        "snapshot_",
    ),
    *("transcriber_", "tool_", "record_", "provider_failed", "provider_broke", "task_failed"),
)


def test_each_service_says_in_one_line_how_a_call_went(stage: Stage) -> None:
    told = [line for line in stage.lines if line["event"] == "call_summary"]
    assert sorted(line["call_id"] for line in told) == sorted([stage.inbound, stage.outbound])
    (line,) = [line for line in told if line["call_id"] == stage.inbound]
    moments = ["answered_ms", "socket_ms", "first_frame_ms", "first_sound_ms", "ended_ms"]
    assert [line[name] for name in moments] == sorted(line[name] for name in moments)
    assert (line["reattachments"], line["sockets"], len(line["workers"])) == (1, 1, 2)
    assert line["workers"][0] == stage.lost_worker
    assert line["parting"] == "ended"
    ended = [line for line in stage.lines if line["event"] == "call_ended"]
    assert sorted(line["call_id"] for line in ended) == sorted([stage.inbound, stage.outbound])
    (placed,) = [line for line in stage.lines if line["event"] == "call_placed"]
    assert placed["call_id"] == stage.outbound


def test_the_story_of_a_call_is_told_in_order(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert parley_logs([stage.inbound[:13], *stage.logs]) == 0
    told = capsys.readouterr().out
    events = [
        *("worker_attached", "call_answered", "media_socket_open", "link_closed"),
        *("worker_replaced", "call_taken_over", "call_ended", "call_hung_up"),
    ]
    places = [told.index(f" {event} ") for event in events]
    assert places == sorted(places), told
    assert told.startswith(f"call {stage.inbound}\n")
    assert f"trace {root_of(stage.inbound, 1.0).trace_id}" in told
    assert max(map(len, told.splitlines())) <= 80
    assert "agent-1" in told
    assert "agent-2" in told
    assert stage.outbound not in told
    assert parley_logs(["--last", *stage.logs, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["call_id"] for line in lines} == {stage.outbound}
    assert {line["service"] for line in lines} == {"dialer", "gateway", "agent"}
