"""What a call counts: for its worker's metrics and for its own record."""

from __future__ import annotations

import json

import pytest
from prometheus_client import CollectorRegistry

from services.agent.after_call.record import RecordBuilder
from services.agent.after_call.redact import Redaction
from services.agent.agents.file import Data
from services.agent.call.account import Account
from services.agent.providers.base import ToolUsed, Usage
from services.agent.turn import events as ev
from shared.metrics.catalogue import AgentMetrics
from shared.protocol.call import EndClass, EndReason
from tests.support.clock import ManualClock


class Stage:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.registry = CollectorRegistry()
        self.record = RecordBuilder(Redaction.of(Data()))
        self.account = Account(AgentMetrics(self.registry), self.clock, self.record)

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"voice_agent_{name}", labels) or 0.0


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_times_count_from_the_first_audio(stage: Stage) -> None:
    stage.clock.advance(2.0)
    assert stage.account.duration_s == 0
    stage.account.on_stream()
    stage.clock.advance(3.0)
    stage.account.on_stream()
    stage.clock.advance(1.0)
    assert stage.account.duration_s == 4.0
    assert stage.account.milestones == {"stream_ms": 2000.0}
    stage.account.on_keys("1")
    assert stage.record.fields([])["transcript"][0]["at_ms"] == 4000


@pytest.mark.parametrize(
    ("tally", "name", "labels"),
    [
        (ev.Tally.INTERRUPTION_COMMITTED, "interruptions_total", {"outcome": "committed"}),
        (ev.Tally.INTERRUPTION_RESUMED, "interruptions_total", {"outcome": "resumed"}),
        (ev.Tally.CLEAR_TIMEOUT, "clear_timeouts_total", {}),
        (ev.Tally.UNDERRUN, "underruns_total", {}),
        (ev.Tally.TURN_UNDERSTOOD, "turns_total", {"outcome": "understood"}),
        (ev.Tally.TURN_NOT_UNDERSTOOD, "turns_total", {"outcome": "not_understood"}),
        (ev.Tally.TURN_SILENCE, "turns_total", {"outcome": "silence"}),
        (ev.Tally.TURN_DTMF, "turns_total", {"outcome": "dtmf"}),
        (ev.Tally.FILLER, "fillers_total", {}),
        (ev.Tally.APOLOGY, "apologies_total", {}),
        (ev.Tally.SPECULATION_USED, "speculations_total", {"outcome": "used"}),
        (ev.Tally.SPECULATION_DROPPED, "speculations_total", {"outcome": "dropped"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_session_counts_is_in_its_workers_figures(
    stage: Stage, tally: ev.Tally, name: str, labels: dict[str, str]
) -> None:
    stage.account.on_count(tally)
    stage.account.on_count(tally)
    assert stage.metric(name, **labels) == 2


def test_every_tally_is_counted_somewhere(stage: Stage) -> None:
    for tally in ev.Tally:
        stage.account.on_count(tally)
    counted = [
        sample.value
        for family in stage.registry.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    ]
    assert sum(counted) == len(ev.Tally)


@pytest.mark.parametrize(
    ("stage_", "name", "labels"),
    [
        (ev.Stage.BARGE_IN, "barge_in_seconds_sum", {}),
        (ev.Stage.CLEAR_ACK, "clear_ack_seconds_sum", {}),
        (ev.Stage.FIRST_AUDIO, "first_audio_seconds_sum", {}),
        (ev.Stage.BRAIN, "turn_seconds_sum", {"stage": "brain"}),
    ],
)
def test_a_measured_time_is_observed_in_its_histogram(
    stage: Stage, stage_: ev.Stage, name: str, labels: dict[str, str]
) -> None:
    stage.account.on_measure(ev.Measure(stage_, 0.25))
    assert stage.metric(name, **labels) == 0.25


def test_a_part_that_nobody_can_play_any_more_is_counted_by_its_kind(stage: Stage) -> None:
    stage.account.on_part_failed("tts")
    assert stage.metric("providers_exhausted_total", kind="tts") == 1


def test_keys_have_who_pressed_them(stage: Stage) -> None:
    stage.account.on_keys("1")
    stage.account.on_keys("2", by_agent=True)
    entries = stage.record.fields([])["transcript"]
    assert [(entry["who"], entry["text"]) for entry in entries] == [("caller", "1"), ("agent", "2")]


def test_tools_are_counted_and_noted(stage: Stage) -> None:
    stage.account.on_note(ToolUsed("look", {"day": "today"}, "timeout", "", 1.5))
    assert stage.metric("tool_calls_total", outcome="timeout") == 1
    fields = stage.record.fields([])
    assert fields["transcript"][0]["name"] == "look"
    assert fields["summary"]["tools"] == 1


def test_what_was_heard_is_noted_at_the_end(stage: Stage) -> None:
    stage.account.on_note(Usage("llm", "openai", "tokens", 12))
    stage.account.close({"deepgram": 61.23}, EndReason.AGENT_HUNG_UP, EndClass.SUCCESS)
    assert stage.record.usage() == [
        {"kind": "llm", "provider": "openai", "unit": "tokens", "amount": 12},
        {"kind": "stt", "provider": "deepgram", "unit": "audio_seconds", "amount": 61.2},
    ]


@pytest.mark.parametrize("tally", list(ev.Tally))
def test_everything_that_is_counted_has_a_metric(stage: Stage, tally: ev.Tally) -> None:
    def total() -> float:
        samples = (sample for found in stage.registry.collect() for sample in found.samples)
        return sum(sample.value for sample in samples if sample.name.endswith("_total"))

    before = total()
    stage.account.on_count(tally)
    assert total() == before + 1


def test_turns_reach_the_record(stage: Stage) -> None:
    stage.account.on_count(ev.Tally.TURN_UNDERSTOOD)
    stage.account.on_count(ev.Tally.INTERRUPTION_COMMITTED)
    assert stage.metric("turns_total", outcome="understood") == 1
    summary = stage.record.fields([])["summary"]
    assert (summary["turns"], summary["interruptions"]) == (1, 1)


@pytest.mark.parametrize("stage_name", list(ev.Stage))
def test_everything_that_is_measured_has_a_metric(stage: Stage, stage_name: ev.Stage) -> None:
    def count() -> float:
        samples = (sample for found in stage.registry.collect() for sample in found.samples)
        return sum(sample.value for sample in samples if sample.name.endswith("_count"))

    before = count()
    stage.account.on_measure(ev.Measure(stage_name, 0.2))
    assert count() == before + 1
    assert ("first_audio_ms" in stage.account.milestones) is (stage_name is ev.Stage.FIRST_AUDIO)


def test_a_part_that_broke_is_counted_by_its_kind(stage: Stage) -> None:
    stage.account.on_part_failed("tts")
    assert stage.metric("providers_exhausted_total", kind="tts") == 1


@pytest.mark.parametrize(
    ("end_class", "counted"), [(EndClass.PROVIDER, "provider"), (None, "caller")]
)
def test_the_call_is_counted_by_how_it_ended(
    stage: Stage, end_class: EndClass | None, counted: str
) -> None:
    stage.account.on_stream()
    stage.clock.advance(5.0)
    stage.account.close({}, EndReason.CALLER_HUNG_UP, end_class)
    labels = {
        "agent": "default",
        "direction": "inbound",
        "class": counted,
        "reason": "caller_hung_up",
    }
    found = [
        sample
        for family in stage.registry.collect()
        for sample in family.samples
        if sample.name == "voice_agent_calls_total"
    ]
    assert [(set(s.labels.values()), s.value) for s in found] == [(set(labels.values()), 1.0)]
    assert stage.metric("call_seconds_sum") == 5.0


def test_another_worker_goes_on_with_the_account(stage: Stage) -> None:
    stage.account.on_stream()
    stage.clock.advance(3.0)
    stage.account.on_note(ToolUsed("book", {"day": "Monday"}, "ok", "booked", 0.5))
    stage.account.on_note(Usage("llm", "openai", "input_tokens", 7))
    stage.account.on_measure(ev.Measure(ev.Stage.TOTAL, 0.8))
    stage.account.on_count(ev.Tally.TURN_UNDERSTOOD)
    stage.account.on_keys("12")
    kept = json.loads(json.dumps(stage.account.kept()))

    other = Stage()
    other.clock.advance(100.0)
    other.account.restore(kept)
    assert other.account.duration_s == pytest.approx(
        3.0 + (other.clock.wall() - stage.clock.wall()).total_seconds()
    )
    assert other.account.milestones == stage.account.milestones
    assert other.record.fields([]) == stage.record.fields([])
    assert other.record.fields([])["summary"]["tools"] == 1


def test_the_account_of_a_call_that_has_not_begun_says_nothing(stage: Stage) -> None:
    other = Stage()
    other.account.restore(json.loads(json.dumps(stage.account.kept())))
    assert other.account.duration_s == 0
    other.account.restore({})
    assert other.account.milestones == {}
