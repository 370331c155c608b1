from __future__ import annotations

import mmap
import os
import sys
import time

import pytest

from deploy.bench.rig.processes import Cpu, memory_mb, own_cpu_s

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


def test_cpu_time_is_what_the_process_itself_has_measured() -> None:
    before_s, began_s = own_cpu_s(os.getpid()), time.process_time()
    while time.process_time() - began_s < 0.05:
        sum(range(1000))
    assert own_cpu_s(os.getpid()) - before_s == pytest.approx(0.05, abs=0.02)


def test_memory_grows_by_what_is_written_to() -> None:
    before_mb = memory_mb(os.getpid())
    # Of the system: what this process has freed counts already.
    with mmap.mmap(-1, 40_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        held.write(b"x" * 40_000_000)
        assert memory_mb(os.getpid()) - before_mb == pytest.approx(40.0, abs=4.0)


def test_a_process_that_is_gone_has_used_and_holds_nothing() -> None:
    nobody = 2**22 + 1
    assert own_cpu_s(nobody) == 0.0
    assert memory_mb(nobody) == 0.0


def test_used_cpu_time_is_a_difference_and_workers_are_a_sum() -> None:
    used = Cpu(3.0, 2.0) - Cpu(1.0, 0.5)
    assert used == Cpu(2.0, 1.5)
    assert (used + Cpu(1.0, 0.0)).all_s == 4.5
