"""Short calls through a pool whose processes are killed all the time: nothing of them remains.

Long, so it is run by `make soak`. CHURN_CALLS says how many calls there are in all.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local.install import ROOT
from tests.support.processes import Crew, Process, reports_in
from tests.support.redis_server import RedisServer
from tests.support.store import Store

CALLS = int(os.environ.get("CHURN_CALLS", "300"))
BATCH, CALL_S, AT_ONCE = 100, 4.0, 18
WARM_CALLS, WARM_AT_ONCE = 150, 2 * AT_ONCE
"""As many at once as one gateway has while the other is down: connections to Redis are kept."""
KILL_EVERY_S = 10.0
SETTLE_S = 40.0
"""A booking that nobody confirms lapses after 15 s."""
FIGURES = ROOT / ".parley" / "churn.json"
MORE_MB = 15.0
KEPT_CONNECTIONS = 16
"""To Redis, each of which a burst may open at any time: shared/bus/redis/store.py."""
FOR_EVER = {"calls", "events", "workers", "seq:calls", "seq:hangups", "seq:workers"}
"""Keys that do not expire: bounded, or a few bytes."""

pytestmark = [
    pytest.mark.soak,
    pytest.mark.system,
    pytest.mark.timeout(CALLS * 2 + 900),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@dataclass(frozen=True)
class Held:
    """What a process holds while there are no calls."""

    calls: float
    tasks: float
    descriptors: int
    resident_mb: float

    @classmethod
    def by(cls, process: Process) -> Held:
        metrics = process.metrics()
        calls = sum(value for name, value in metrics.items() if name.endswith("_active_calls"))
        tasks = metrics["voice_runtime_tasks"]
        return cls(calls, tasks, process.descriptors, process.resident_mb)

    def assert_as(self, before: Held, name: str) -> None:
        """Fail when there is more than there was, but for what comes and goes by itself."""
        assert self.tasks <= before.tasks + 2, name
        assert self.descriptors <= before.descriptors + KEPT_CONNECTIONS, name
        assert self.resident_mb <= before.resident_mb + MORE_MB, name


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def crew(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    crew = Crew(tmp_path_factory.mktemp("crew"), server.url, gateways_wanted=2, workers_wanted=4)
    crew.write_agent("Hello.")
    try:
        crew.start()
        yield crew
    finally:
        crew.stop()


@contextmanager
def killing(victims: Sequence[Process], chance: random.Random) -> Iterator[list[str]]:
    """Kill one of them each `KILL_EVERY_S` and start it again at once; yields who it was."""
    over, killed = threading.Event(), list[str]()

    def kill() -> None:
        while not over.wait(KILL_EVERY_S):
            victim = chance.choice(victims)
            victim.kill()
            victim.start()
            killed.append(victim.name)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join(30)


@dataclass(frozen=True)
class Played:
    """One call as its caller saw it."""

    call_id: str
    failures: list[str]


def play(crew: Crew, folder: Path, calls: int, at_once: int = AT_ONCE) -> list[Played]:
    """Have so many callers call one after the other, `at_once` at a time."""
    played = []
    for first in range(0, calls, BATCH):
        number = min(BATCH, calls - first)
        span_s = number * CALL_S / at_once
        load = crew.load(folder, number, span_s, "--hangup-after", f"{CALL_S}")
        load.wait(span_s + 60)
        reports = reports_in(folder)
        assert len(reports) == number
        played += [Played(report["call_uuid"], report["failures"]) for report in reports]
        shutil.rmtree(folder)
    return played


def settle(crew: Crew, store: Store) -> None:
    """Wait until nothing of any call is held; fails with what is left."""
    deadline_s = time.monotonic() + SETTLE_S
    processes = [*crew.gateways, *crew.workers]
    for process in processes:
        process.wait_ready()
    while True:
        kinds = store.kinds()
        left = {kind: kinds[kind] for kind in ("bookings", "booked") if kinds[kind]}
        held = {p.name: Held.by(p).calls for p in processes if Held.by(p).calls}
        if not left and not held and store.workers() == len(crew.workers) == kinds["worker"]:
            break
        assert time.monotonic() < deadline_s, (left, held, store.workers(), kinds)
        time.sleep(0.5)
    time.sleep(2.0)  # tasks are counted once a second


def note(name: str, figures: dict[str, Any]) -> None:
    """Keep figures for people."""
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps({**known, name: figures}, indent=1))


def test_nothing_of_many_calls_remains_whoever_is_killed(
    crew: Crew, server: RedisServer, tmp_path: Path
) -> None:
    store = Store(server.url)
    processes = [*crew.gateways, *crew.workers]
    at_start = _warm(crew, store, processes, tmp_path)
    chance = random.Random(int(time.time()))
    # All are killed, then some are left alone and must take what the others leave.
    left_alone = (crew.gateways[0], *crew.workers[:2])
    others = [process for process in processes if process not in left_alone]
    _churn(crew, store, processes, "all", chance, tmp_path)
    warm = _warm(crew, store, left_alone, tmp_path)
    _churn(crew, store, others, "some", chance, tmp_path)
    at_end = {process.name: Held.by(process) for process in processes}
    held = {"at start": at_start, "warm": warm, "at end": at_end}
    note("held", {when: {name: str(h) for name, h in all_.items()} for when, all_ in held.items()})
    note("keys", {"kinds": store.kinds(), "snapshots": len(store.snapshots())})
    assert store.for_ever() <= FOR_EVER
    for name, now in at_end.items():
        now.assert_as(at_start[name], name)
        if name in warm:
            now.assert_as(warm[name], name)


def _warm(crew: Crew, store: Store, processes: Sequence[Process], folder: Path) -> dict[str, Held]:
    """Have as many calls at once as there will be; return what is held when they are over."""
    play(crew, folder / "warm", WARM_CALLS, WARM_AT_ONCE)
    settle(crew, store)
    return {process.name: Held.by(process) for process in processes}


def _churn(
    crew: Crew,
    store: Store,
    victims: Sequence[Process],
    name: str,
    chance: random.Random,
    folder: Path,
) -> None:
    """Play half of the calls among kills; fail unless each has ended once and all is at rest."""
    with killing(victims, chance) as killed:
        played = play(crew, folder / name, CALLS // 2)
    settle(crew, store)
    calls = [call.call_id for call in played]
    figures = {
        "calls": len(played),
        "killed": Counter(killed),
        "failed": sum(bool(call.failures) for call in played),
        "failures": Counter(problem for call in played for problem in call.failures),
        "end reasons": Counter(str(record.end_reason) for record in store.records(calls)),
    }
    note(name, figures)
    store.check_ended_once(calls)
