"""Redis is away for half a minute while calls begin, talk and end: callers notice nothing.

Long, so it is run by `make soak`. OUTAGE_S says for how long.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from deploy.local.install import ROOT
from tests.support.processes import Crew, grown, reports_in
from tests.support.redis_server import RedisServer
from tests.support.store import Store

AWAY_S = float(os.environ.get("OUTAGE_S", "30"))
BEFORE_S, AFTER_S = 12.0, 4.0
CALL_S, EVERY_S = 11.0, 1.5
FIGURES = ROOT / ".parley" / "redis_outage.json"
STORY = " ".join(
    f"This is sentence number {number} of a long story."
    for number in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
)
TO, FROM = "+918000000199", "+918000000001"
_NOT_ACCEPTED = "webhook Hangup was not accepted"
"""A gateway that can't write an end down says 503, and keeps it all the same."""

pytestmark = [pytest.mark.soak, pytest.mark.system, pytest.mark.timeout(900)]
Away = Callable[[RedisServer], AbstractContextManager[None]]


@dataclass(frozen=True)
class Run:
    """One load of calls: what callers noticed, and what workers measured of their frames."""

    reports: list[dict[str, Any]]
    samples: dict[str, float]

    def late_share(self, name: str, above_s: str) -> float:
        """The part of a histogram of frames that is above one of its bounds."""
        count = self.samples[f"{name}_count"]
        return 1 - self.samples[f'{name}_bucket{{le="{above_s}"}}'] / count

    @property
    def underruns(self) -> int:
        return sum(report["underruns"] for report in self.reports)

    @property
    def longest_gap_ms(self) -> float:
        """Silence within a call's speech at the handset."""
        gaps = [gap["duration_ms"] for report in self.reports for gap in report["gaps"]]
        return float(max(gaps, default=0.0))

    def figures(self) -> dict[str, Any]:
        lateness, jitter = "voice_agent_pacing_lateness_seconds", "voice_agent_frame_jitter_seconds"
        return {
            "calls": len(self.reports),
            "underruns": self.underruns,
            "longest_gap_ms": self.longest_gap_ms,
            **{f"lateness above {s} s": self.late_share(lateness, s) for s in ("0.01", "0.04")},
            **{f"jitter above {s} s": self.late_share(jitter, s) for s in ("0.01", "0.02")},
            "frames": self.samples[f"{lateness}_count"],
        }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def crew(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    crew = Crew(tmp_path_factory.mktemp("crew"), server.url, has_dialer=True)
    crew.write_agent(STORY)
    try:
        crew.start()
        yield crew
    finally:
        crew.stop()


def play(crew: Crew, folder: Path, trouble: Callable[[], None]) -> Run:
    """Have callers call all the time, trouble among them after a while."""
    span_s = BEFORE_S + AWAY_S + AFTER_S
    before = [worker.metrics() for worker in crew.workers]
    load = crew.load(folder, int(span_s / EVERY_S), span_s, "--hangup-after", f"{CALL_S}")
    time.sleep(BEFORE_S)
    trouble()
    load.wait(CALL_S + AWAY_S + 30)
    after = [worker.metrics() for worker in crew.workers]
    return Run(reports_in(folder), grown(before, after))


@pytest.fixture(scope="module")
def undisturbed(crew: Crew, tmp_path_factory: pytest.TempPathFactory) -> Run:
    play_nothing = tmp_path_factory.mktemp("undisturbed")
    run = play(crew, play_nothing, lambda: time.sleep(AWAY_S))
    assert [report["failures"] for report in run.reports if not report["ok"]] == []
    return run


@contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    server.stop()
    yield
    server.start()


@contextmanager
def frozen(server: RedisServer) -> Iterator[None]:
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


@contextmanager
def full(server: RedisServer) -> Iterator[None]:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        yield
        client.config_set("maxmemory", 0)


@contextmanager
def paused(server: RedisServer) -> Iterator[None]:
    with redis.Redis.from_url(server.url) as client:
        client.client_pause(int(AWAY_S * 1000))
    yield


def order_call(crew: Crew) -> httpx.Response:
    body = {"to": TO, "from": FROM}
    return httpx.post(f"{crew.dialer_url}/v1/calls", json=body, timeout=10, trust_env=False)


def deferred(crew: Crew) -> dict[str, float]:
    """What became of changes that had to wait, on all services."""
    every = [process.metrics() for process in (*crew.gateways, *crew.workers)]
    name = "voice_bus_deferred_changes_total"
    outcomes = ("kept", "written", "refused", "unwritable", "lost")
    return {o: sum(m.get(f'{name}{{outcome="{o}"}}', 0.0) for m in every) for o in outcomes}


def until_none_waits(crew: Crew) -> None:
    deadline_s = time.monotonic() + 15
    processes = [*crew.gateways, *crew.workers]
    while any(p.metrics()["voice_bus_waiting_changes"] for p in processes):
        assert time.monotonic() < deadline_s, "changes wait still"
        time.sleep(0.1)


def note(name: str, figures: dict[str, Any]) -> None:
    """Keep figures for people."""
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps({**known, name: figures}, indent=1))


def ended_s(text: str | None) -> float:
    assert text is not None
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize("away", [killed, frozen, full, paused])
def test_callers_notice_nothing_and_every_end_is_recorded_once(
    crew: Crew, server: RedisServer, undisturbed: Run, away: Away, tmp_path: Path
) -> None:
    store = Store(server.url)
    person = {"number": "*", "hangup_after_s": BEFORE_S + AWAY_S + AFTER_S}
    httpx.post(f"{crew.simulator_url}/simulator/people", json=person, trust_env=False)
    outbound = [order_call(crew)]
    seen: dict[str, Any] = {}

    def trouble() -> None:
        with away(server):
            until_s = time.monotonic() + AWAY_S
            time.sleep(3.0)
            for process in (*crew.gateways, *crew.workers):
                ready = httpx.get(f"{process.url}/readyz", timeout=5, trust_env=False)
                seen[process.name] = ready.status_code, ready.json()["redis"]
            seen["refused"] = order_call(crew).status_code
            time.sleep(max(0.0, until_s - time.monotonic()))
        time.sleep(2.0)
        outbound.append(order_call(crew))

    before = deferred(crew)
    run = play(crew, tmp_path / "calls", trouble)
    time.sleep(AWAY_S / 3)  # the outbound calls end
    until_none_waits(crew)
    waited = {name: count - before[name] for name, count in deferred(crew).items()}
    note(away.__name__, {**run.figures(), "deferred": waited})
    note("undisturbed", undisturbed.figures())

    for process in (*crew.gateways, *crew.workers):
        status, said = seen[process.name]
        assert status == 200, said
        assert said.startswith("ok: unreachable or full"), process.name
    assert [answer.status_code for answer in outbound] == [201, 201]
    assert seen["refused"] == 503, "an order was taken that nobody could write down"
    problems = [p for report in run.reports for p in report["failures"] if p != _NOT_ACCEPTED]
    assert problems == []
    assert min(report["duration_s"] for report in run.reports) >= int(CALL_S)

    calls = [report["call_uuid"] for report in run.reports]
    orders = [answer.json()["call_id"] for answer in outbound]
    records = store.check_ended_once([*calls, *orders[:1]])
    times = {str(record.call_id): ended_s(record.ended_at) for record in records}
    in_order = [times[call] for call in store.ends() if call in times]
    assert all(later > earlier - 0.1 for earlier, later in pairwise(in_order))
    assert waited["kept"] == waited["written"] >= AWAY_S / EVERY_S / 2
    assert waited["refused"] == waited["unwritable"] == waited["lost"] == 0

    assert run.underruns <= undisturbed.underruns + 2
    assert run.longest_gap_ms <= undisturbed.longest_gap_ms + 250
    for name, bound in (("pacing_lateness", "0.04"), ("frame_jitter", "0.02")):
        histogram = f"voice_agent_{name}_seconds"
        share = run.late_share(histogram, bound)
        assert share <= undisturbed.late_share(histogram, bound) + 0.01, name
