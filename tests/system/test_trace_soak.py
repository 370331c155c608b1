"""Calls while the collector of traces hangs, refuses or is gone: their callers notice nothing.

Run by `make soak`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.collector import Collector, running_collector
from tests.support.ports import free_ports
from tests.support.processes import Crew, grown, reports_in, sample_key
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.soak, pytest.mark.system, pytest.mark.timeout(300)]
CALLS, OVER_S, CALL_S = 20, 4.0, 8.0
_GREETING = "Hello there. " + "This goes on for a while. " * 6


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


def hangs(collector: Collector) -> str:
    collector.delay_s = 30.0
    return collector.url


def refuses(collector: Collector) -> str:
    collector.status = 503
    return collector.url


def is_gone(_: Collector) -> str:
    (port,) = free_ports(1)
    return f"http://127.0.0.1:{port}"


def works(collector: Collector) -> str:
    return collector.url


@pytest.mark.parametrize("behave", [works, hangs, refuses, is_gone])
def test_no_call_notices_how_the_collector_does(
    behave: Callable[[Collector], str], redis: RedisServer, tmp_path: Path
) -> None:
    with running_collector() as collector:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": behave(collector)}
        crew = Crew(tmp_path, redis.url, workers_wanted=1, settings=settings)
        crew.write_agent(_GREETING)
        try:
            crew.start()
            before = [process.metrics() for process in (*crew.workers, *crew.gateways)]
            load = crew.load(tmp_path / "calls", CALLS, OVER_S, "--hangup-after", f"{CALL_S}")
            load.wait(90)
            after = [process.metrics() for process in (*crew.workers, *crew.gateways)]
        finally:
            crew.stop()
    reports = reports_in(tmp_path / "calls")
    assert [report["failures"] for report in reports] == [[]] * CALLS
    more = grown(before, after)
    # None on a quiet machine; a busy one has some, whatever the collector does.
    assert more.get("voice_agent_underruns_total", 0) < CALLS
    spans = {
        outcome: more.get(sample_key("voice_runtime_spans_total", {"outcome": outcome}), 0)
        for outcome in ("exported", "failed")
    }
    if behave is works:
        assert spans["exported"] >= 5 * CALLS
        assert spans["failed"] == 0
    else:
        assert spans["exported"] == 0
        assert spans["failed"] > 0
