"""What the kernel has noted of a process: CPU time and memory, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU-seconds (user and system): of the process, and of its descendants."""

    own_s: float
    children_s: float

    def __sub__(self, earlier: Cpu) -> Cpu:
        return Cpu(self.own_s - earlier.own_s, self.children_s - earlier.children_s)

    def __add__(self, other: Cpu) -> Cpu:
        return Cpu(self.own_s + other.own_s, self.children_s + other.children_s)

    @property
    def all_s(self) -> float:
        """Of both."""
        return self.own_s + self.children_s


def cpu_of(pid: int) -> Cpu:
    """Return what a process has used by now."""
    return Cpu(own_cpu_s(pid), sum(own_cpu_s(child) for child in descendants(pid)))


def own_cpu_s(pid: int) -> float:
    """Return the CPU-seconds (user and system) of one process; 0 where it is gone.

    By the scheduler's account, to the nanosecond, of each of its threads; threads that have ended
    meanwhile are missing there, so the process's own sum, in hundredths of a second, is taken where
    it is higher.
    """
    ticks = _stat(pid)
    sum_s = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK") if ticks else 0.0
    return max(sum_s, _scheduled_s(pid))


def _scheduled_s(pid: int) -> float:
    total_ns = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            total_ns += int(path.read_text().split()[0])
        except OSError:
            continue
    return total_ns / 1e9


def memory_mb(pid: int) -> float:
    """Return the memory that a process and its descendants alone have, in MB.

    Files mapped into it are left out: other programs that map the same ones would be in the figure.
    What a process and its children share is counted once.
    """
    return sum(_anonymous_mb(one) for one in (pid, *descendants(pid)))


def _anonymous_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    kilobytes = {line.split()[0]: line.split()[1] for line in lines[1:]}
    return int(kilobytes["Pss_Anon:"]) * 1024 / 1e6


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and theirs."""
    stats = {int(p.name): _stat(int(p.name)) for p in Path("/proc").iterdir() if p.name.isdigit()}
    found: list[int] = []
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        children = [child for child, stat in stats.items() if stat and int(stat[1]) == parent]
        found += children
        waiting += children
    return found


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
