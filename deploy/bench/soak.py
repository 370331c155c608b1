"""Ten minutes of one worker on one core: 120 calls, agents that speak half the time.

The agent says a sentence of some fifteen seconds, waits as long for a caller who says nothing,
asks again, and so on. The calls begin one after the other, so that half of them are spoken to at
any time. The worker has a core to itself; gateway, Redis and load client share the others.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.bench.path import LAG, LATENESS
from deploy.bench.report.fits import fit_line
from deploy.bench.report.lookup import HEARD_DBFS
from deploy.bench.rig.cloud import Cloud
from deploy.bench.rig.figures import LoadReport, quantile_s
from deploy.bench.rig.stage import Program, Stage

_HALF_S = 17.0
_TEXT = (
    "Here is what the agent has to say, and it is neither short nor long, but it is said in whole"
    " sentences. Then it waits for an answer, as people do, and nobody gives one. So it begins"
    " again, with the same words, and in the same voice."
)
_AGENT = f"""\
greeting: "{_TEXT}"
prompt: You wait.
flow: waiting
turn_taking:
  max_call_s: 3600
  silence: {{after_s: {_HALF_S}}}
"""
_FLOW = f"""\
most_silences: 20
steps:
  wait:
    prompt: "{_TEXT}"
    no_input: ["{_TEXT}"]
"""
_OPENED_OVER_S = 30.0
_SETTLE_S = 10.0
_SAMPLE_S = 15.0
_SETTLED_SHARE = 0.2
"""Of the time, after which memory is to grow no more."""


@dataclass(frozen=True, slots=True)
class SoakResult:
    """What came of it.

    Attributes:
        cores: that the worker had.
        frames_out: 20 ms of audio a second and call; 25 where agents speak half the time.
        worker_cpu_share: of its core.
        worker_mb: memory every fifteen seconds; `worker_empty_mb`: before the first call.
        mb_per_call: what the calls added, for each.
        growth_mb_per_min: of a line fitted to the memory of the last four fifths of the time.
        lateness_ms: 99th percentile of frames as the worker wrote them, at most; `lag_ms` of its
            loop likewise.
    """

    calls: int
    seconds: float
    cores: int
    frames_out: float
    worker_cpu_share: float
    worker_empty_mb: float
    worker_mb: tuple[float, ...]
    mb_per_call: float
    growth_mb_per_min: float
    lateness_ms: float
    lag_ms: float
    trouble: str
    handset: LoadReport


def measure_soak(calls: int, seconds: float) -> SoakResult:
    """Play the calls for so long.

    Raises:
        NoCompiler: the load client can't be built.
        RuntimeError: something did not start, or calls were refused.
    """
    cores = sorted(os.sched_getaffinity(0))
    with (
        tempfile.TemporaryDirectory(prefix="parley-soak-") as name,
        Stage(Path(name), {"default": _AGENT}, {"waiting": _FLOW}) as stage,
        _on_cores(cores[1:] or cores),
    ):
        stage.redis()
        gateway = stage.gateway()
        with _on_cores(cores[:1]):
            worker = stage.worker()
        empty_mb = worker.memory_mb()
        with Cloud(Path(name), line_dbfs=HEARD_DBFS) as cloud:
            base = f"http://127.0.0.1:{gateway.port}"
            cloud.call_gateway(base, calls, over_s=_OPENED_OVER_S)
            cloud.await_open(calls)
            time.sleep(_SETTLE_S)
            return _measure(cloud, worker, empty_mb, seconds)


def _measure(cloud: Cloud, worker: Program, empty_mb: float, seconds: float) -> SoakResult:
    scraped, cpu, began_s = worker.scrape(), worker.cpu(), time.monotonic()
    cloud.begin()
    held_mb = list(_watch_memory(worker, began_s, seconds))
    handset, after = cloud.report(), worker.scrape()
    used_s, took_s = (worker.cpu() - cpu).all_s, time.monotonic() - began_s
    settled = held_mb[int(len(held_mb) * _SETTLED_SHARE) :]
    times_min = [number * _SAMPLE_S / 60 for number in range(len(settled))]
    return SoakResult(
        calls=handset.open,
        seconds=round(took_s, 1),
        cores=1,
        frames_out=round(handset.frames_out, 2),
        worker_cpu_share=round(used_s / took_s, 3),
        worker_empty_mb=round(empty_mb, 1),
        worker_mb=tuple(held_mb),
        mb_per_call=round((max(held_mb) - empty_mb) / max(1, handset.open), 3),
        growth_mb_per_min=round(fit_line(times_min, settled).each, 3) if len(settled) > 1 else 0.0,
        lateness_ms=round(quantile_s(scraped, after, LATENESS, 0.99) * 1000, 1),
        lag_ms=round(quantile_s(scraped, after, LAG, 0.99) * 1000, 1),
        trouble=handset.trouble,
        handset=handset,
    )


def _watch_memory(worker: Program, began_s: float, seconds: float) -> Iterator[float]:
    """Yield the worker's memory each fifteen seconds, and at the end."""
    for number in range(int(seconds / _SAMPLE_S) + 1):
        time.sleep(max(0.0, began_s + number * _SAMPLE_S - time.monotonic()))
        yield round(worker.memory_mb(), 2)
    time.sleep(max(0.0, began_s + seconds - time.monotonic()))


@contextmanager
def _on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Have what is started meanwhile run on these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
