"""What a call costs on the whole path: a gateway, one or more workers, a Redis, as processes.

Calls come as they do from Vobiz, by webhook and media socket, and last; the agent tells a story
without end, prepared before, and nobody answers it: a frame comes and one goes for each call each
20 ms, and neither recognition nor synthesis is in the measured time. On the line is noise. CPU time
is the kernel's account of each process.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.bench.report.lookup import HEARD_DBFS
from deploy.bench.rig.cloud import Cloud
from deploy.bench.rig.figures import LoadReport, quantile_s, value_of
from deploy.bench.rig.processes import Cpu
from deploy.bench.rig.stage import Program, Stage

_STORY = "Once upon a time there was a telephone that nobody ever hung up, and it went on and on. "
STORY_AGENT = f"greeting: {_STORY * 10}\nprompt: You tell stories.\nflow: parley\n"
"""Of some 60 s: longer than calls are opened, settle and are measured."""
_SETTLE_S = 2.0
_GONE_S = 30.0
LAG = "voice_runtime_loop_lag_seconds"
LATENESS = "voice_agent_pacing_lateness_seconds"
_SCORING = "voice_agent_scoring_wait_seconds"


@dataclass(frozen=True, slots=True)
class Load:
    """So many calls at once, over so many workers, with so much noise on their lines."""

    calls: int
    workers: int = 1
    line_dbfs: float = HEARD_DBFS


@dataclass(frozen=True, slots=True)
class PathCost:
    """One run.

    Attributes:
        gateway: CPU-seconds for each call-minute; `worker`, of all workers together, and `redis`
            likewise. `children` is the part of `worker` that other processes than the workers' own
            took: the recognisers'.
        gateway_mb_per_call: memory above that of a gateway without calls, for each call;
            `worker_mb_per_call` likewise.
        lag_ms: 99th percentile of the worst worker's loop lag, at most: bounds of its histogram.
        lateness_ms: the same of frames as the worker wrote them.
        scoring_wait_ms: the same of frames that waited to be scored.
        handset: what the load client saw.
    """

    load: Load
    gateway: float
    worker: float
    children: float
    redis: float
    gateway_mb_per_call: float
    worker_mb_per_call: float
    lag_ms: float
    gateway_lag_ms: float
    lateness_ms: float
    scoring_wait_ms: float
    handset: LoadReport

    @property
    def total(self) -> float:
        """CPU-seconds for each call-minute, gateway and workers."""
        return self.gateway + self.worker


def measure_path(loads: Sequence[Load], seconds: float) -> Iterator[PathCost]:
    """Measure each load in turn, on one platform; one that it does not take is left out, and said.

    Raises:
        NoCompiler: the load client can't be built.
        RuntimeError: something did not start.
    """
    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as name,
        Stage(Path(name), {"default": STORY_AGENT}) as stage,
    ):
        redis, workers = stage.redis(), [stage.worker()]
        gateway = stage.gateway()
        _warm_up(Path(name), gateway, workers)
        empty_mb = [one.memory_mb() for one in (gateway, *workers)]
        for load in loads:
            while len(workers) < load.workers:
                workers.append(stage.worker(len(workers) + 1))
                empty_mb.append(workers[-1].memory_mb())
            try:
                yield _measure(Path(name), load, seconds, [redis, gateway, *workers], empty_mb)
                _await_gone(workers)
            except RuntimeError as error:
                print(f"  WARNING: {load.calls} calls were too many: {error}")
                stage.keep_logs()
                _await_gone(workers)


def _warm_up(folder: Path, gateway: Program, workers: Sequence[Program]) -> None:
    """Have what is loaded at a first call loaded."""
    with Cloud(folder, line_dbfs=HEARD_DBFS) as cloud:
        cloud.call_gateway(_base(gateway), 1)
        cloud.await_open(1)
        time.sleep(1.0)
    _await_gone(workers)


def _measure(
    folder: Path,
    load: Load,
    seconds: float,
    programs: Sequence[Program],
    empty_mb: Sequence[float],
) -> PathCost:
    gateway, workers = programs[1], programs[2:]
    with Cloud(folder, line_dbfs=load.line_dbfs) as cloud:
        cloud.call_gateway(_base(gateway), load.calls)
        cloud.await_open(load.calls)
        time.sleep(_SETTLE_S)
        scraped = [one.scrape() for one in (gateway, *workers)]
        before = [one.cpu() for one in programs]
        cloud.begin()
        time.sleep(seconds)
        handset = cloud.report()
        used = [one.cpu() - cpu for one, cpu in zip(programs, before, strict=True)]
        held_mb = [one.memory_mb() for one in (gateway, *workers)]
        pairs = list(zip(scraped, [one.scrape() for one in (gateway, *workers)], strict=True))
    minutes = handset.call_minutes
    of_workers = sum(used[2:], Cpu(0.0, 0.0))
    more_mb = [held - empty for held, empty in zip(held_mb, empty_mb, strict=True)]
    return PathCost(
        load=load,
        gateway=round(used[1].all_s / minutes, 4),
        worker=round(of_workers.all_s / minutes, 4),
        children=round(of_workers.children_s / minutes, 4),
        redis=round(used[0].all_s / minutes, 4),
        gateway_mb_per_call=round(more_mb[0] / load.calls, 3),
        worker_mb_per_call=round(sum(more_mb[1:]) / load.calls, 3),
        lag_ms=_worst_ms(pairs[1:], LAG),
        gateway_lag_ms=_worst_ms(pairs[:1], LAG),
        lateness_ms=_worst_ms(pairs[1:], LATENESS),
        scoring_wait_ms=_worst_ms(pairs[1:], _SCORING),
        handset=handset,
    )


def _worst_ms(pairs: Sequence[tuple[str, str]], name: str) -> float:
    return max(round(quantile_s(before, after, name, 0.99) * 1000, 1) for before, after in pairs)


def _base(gateway: Program) -> str:
    return f"http://127.0.0.1:{gateway.port}"


def _await_gone(workers: Sequence[Program]) -> None:
    """Wait until no worker holds a call."""
    until_s = time.monotonic() + _GONE_S
    while any(value_of(one.scrape(), "voice_agent_active_calls") for one in workers):
        if time.monotonic() > until_s:
            raise RuntimeError("calls that were hung up have not ended")
        time.sleep(0.2)
