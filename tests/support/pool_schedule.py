"""What gateways and workers do to the pool, as data, and how a schedule of it is played."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from shared.bus.base import WorkerRegistry
from shared.bus.messages import WorkerLease
from shared.protocol.call import CallId, WorkerId

WORKERS = ("w1", "w2", "w3")
CALLS = tuple(f"c{n}" for n in range(6))
ZONES = {"w1": "a", "w2": "a", "w3": "b"}
CAPACITY = 2


@dataclass(frozen=True)
class Heartbeat:
    worker: str
    calls: frozenset[str]
    lag_ms: float = 0.0
    is_draining: bool = False
    capacity: int = CAPACITY


@dataclass(frozen=True)
class Withdraw:
    worker: str


@dataclass(frozen=True)
class Reserve:
    call: str
    exclude: frozenset[str] = frozenset()
    zone: str = ""


@dataclass(frozen=True)
class Release:
    worker: str
    call: str


@dataclass(frozen=True)
class Pass:
    """Whole seconds go by: the time that a real Redis takes itself stays below the next."""

    seconds: int


Step = Heartbeat | Withdraw | Reserve | Release | Pass
Seen = tuple[str | None, int]


def lease(step: Heartbeat) -> WorkerLease:
    return WorkerLease(
        WorkerId(step.worker),
        f"{step.worker}:1",
        step.capacity,
        lag_ms=step.lag_ms,
        zone=ZONES[step.worker],
        draining=step.is_draining,
    )


def steps() -> st.SearchStrategy[Step]:
    worker, call = st.sampled_from(WORKERS), st.sampled_from(CALLS)
    reserve = st.builds(
        Reserve, call, st.frozensets(worker, max_size=2), st.sampled_from(("", "a", "b"))
    )
    return st.one_of(
        reserve,
        reserve,
        st.builds(
            Heartbeat,
            worker,
            st.frozensets(call, max_size=CAPACITY),
            st.sampled_from((0.0, 12.5, 80.0)),
            st.booleans(),
            st.integers(0, CAPACITY),
        ),
        st.builds(Heartbeat, worker, st.just(frozenset[str]())),
        st.builds(Release, worker, call),
        st.builds(Withdraw, worker),
        st.builds(Pass, st.sampled_from((1, 2, 3, 14, 15))),
    )


async def play(
    schedule: Sequence[Step],
    pool: WorkerRegistry,
    advance: Callable[[int], Awaitable[None]],
) -> list[list[Seen]]:
    """Return what each step was answered, and each worker's count after it."""
    seen: list[list[Seen]] = []
    for step in schedule:
        answer: Seen = (None, 0)
        match step:
            case Heartbeat(calls=calls):
                await pool.heartbeat(lease(step), sorted(CallId(call) for call in calls))
            case Withdraw(worker):
                await pool.withdraw(WorkerId(worker))
            case Reserve(call, exclude, zone):
                got = await pool.reserve(
                    CallId(call), exclude=[WorkerId(w) for w in exclude], zone=zone
                )
                answer = (got.worker_id, got.active) if got is not None else answer
            case Release(worker, call):
                await pool.release(WorkerId(worker), CallId(call))
            case Pass(seconds):
                await advance(seconds)
        seen.append([answer, *((w.worker_id, w.active) for w in await pool.workers())])
    return seen
