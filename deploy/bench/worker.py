"""`python -m deploy.bench.worker`: one worker with nothing before it, for whoever profiles it.

The load client is its gateway. The agent tells a story of some 60 s, so not much longer can be
measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from deploy.bench.path import STORY_AGENT
from deploy.bench.report.lookup import HEARD_DBFS
from deploy.bench.rig.cloud import Cloud
from deploy.bench.rig.stage import Stage

_SETTLE_S = 3.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m deploy.bench.worker", description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[50])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--line-dbfs", type=float, default=HEARD_DBFS, help="noise on the lines")
    parser.add_argument("--pid-file", type=Path, help="gets the worker's process id")
    options = parser.parse_args()
    print("calls  CPU-s a call-minute  MB a call  late p99 ms")
    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as name,
        Stage(Path(name), {"default": STORY_AGENT}) as stage,
    ):
        stage.redis()
        worker = stage.worker()
        if options.pid_file is not None:
            options.pid_file.write_text(str(worker.pid))
        for calls in options.calls:
            empty_mb = worker.memory_mb()
            with Cloud(Path(name), line_dbfs=options.line_dbfs) as cloud:
                cloud.call_worker(worker.port, calls)
                cloud.await_open(calls)
                time.sleep(_SETTLE_S)
                before = worker.cpu()
                cloud.begin()
                time.sleep(options.seconds)
                found, used = cloud.report(), worker.cpu() - before
                held_mb = (worker.memory_mb() - empty_mb) / calls
            cost = used.all_s / found.call_minutes
            print(f"{calls:>5} {cost:>20.3f} {held_mb:>10.2f} {found.pacing_ms.p99:>12.1f}")
            if found.trouble:
                print(f"  WARNING: {found.trouble}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
