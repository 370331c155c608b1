"""What goes wrong within a call ends that call, and is known of afterwards."""

from __future__ import annotations

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.agent.after_call.record import RecordBuilder
from services.agent.after_call.redact import Redaction
from services.agent.agents.file import AgentFile
from services.agent.call.account import Account
from services.agent.call.guard import Guard
from services.agent.call.trace import CallTrace
from shared.metrics.catalogue import AgentMetrics
from shared.protocol.call import WorkerId
from shared.protocol.worker import LinkRequest
from shared.runtime.concern import present
from shared.runtime.tracing import NO_TRACER
from tests.support.clock import ManualClock
from tests.support.lone_call import CALL


class Scene:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.crashes = 0
        metrics, clock = AgentMetrics(self.registry), ManualClock()
        trace = CallTrace(NO_TRACER, LinkRequest(CALL), "default", WorkerId("w1"))
        record = RecordBuilder(Redaction.of(AgentFile().data))
        account = Account(metrics, clock, record, trace)
        log = structlog.get_logger().bind(call_id=CALL)
        self.guard = Guard(account, trace, metrics, log, on_crash=self._on_crash)

    def _on_crash(self) -> None:
        self.crashes += 1

    @property
    def crashed(self) -> float | None:
        return self.registry.get_sample_value("voice_agent_sessions_crashed_total")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_an_exception_ends_the_call_and_goes_no_further(scene: Scene) -> None:
    with capture_logs() as logs, scene.guard:
        raise ValueError("a bug")
    assert (scene.crashes, scene.crashed, scene.guard.why) == (1, 1, "ValueError")
    assert [(log["event"], log["log_level"], log["call_id"]) for log in logs] == [
        ("call_crashed", "error", CALL)
    ]
    assert isinstance(logs[0]["exc_info"], ValueError)


def test_what_is_no_error_passes(scene: Scene) -> None:
    with pytest.raises(KeyboardInterrupt), scene.guard:
        raise KeyboardInterrupt
    assert (scene.crashes, scene.guard.why) == (0, "")


def test_what_is_done_within_is_about_the_call_and_nothing_after_it_is(scene: Scene) -> None:
    before = present()
    with scene.guard:
        within = present()
        with scene.guard:
            pass
        assert present() is within
    assert within is not None
    assert within.call_id == CALL
    assert present() is before
    with capture_logs(), scene.guard:
        raise ValueError
    assert present() is before


def test_a_task_that_broke_says_which_it_was(scene: Scene) -> None:
    scene.guard.on_task_failed("call:call-1/brain", RuntimeError("a bug"))
    assert (scene.crashes, scene.guard.why) == (1, "RuntimeError in brain")


def test_a_part_that_failed_ends_nothing(scene: Scene) -> None:
    with capture_logs() as logs:
        scene.guard.on_part_failed("tts", OSError("no voice"))
    assert (scene.crashes, scene.guard.why) == (0, "tts: no voice")
    assert [(log["event"], log["kind"], log["error"]) for log in logs] == [
        ("part_failed", "tts", "no voice")
    ]
    with capture_logs() as logs:
        scene.guard.on_part_failed("stt")
    assert (scene.guard.why, logs[0]["error"]) == ("stt", None)
