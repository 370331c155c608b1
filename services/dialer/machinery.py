"""What dials: pacing, runner, settler, reconciler, put together for `__main__`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog

from services.dialer.calls.dialer import Dialer
from services.dialer.calls.machine import MachineRule
from services.dialer.calls.order import CallOrder
from services.dialer.calls.permit import AccountPermit, Permit
from services.dialer.calls.reconcile import Reconciler
from services.dialer.campaigns.account import AccountLimits
from services.dialer.campaigns.claims import Claims
from services.dialer.campaigns.ledger import Ledger
from services.dialer.campaigns.model import Calendar
from services.dialer.campaigns.orders import RowOrders
from services.dialer.campaigns.pacing import UNKNOWN_CONCURRENCY, Claimant, Pacing
from services.dialer.campaigns.row_permit import RowTools, Trouble
from services.dialer.campaigns.runner import Runner, RunnerRules
from services.dialer.campaigns.settler import Settler
from services.dialer.campaigns.windows import Calendar as WindowCalendar
from services.dialer.campaigns.windows import parse_windows
from services.dialer.settings import DialerSettings
from shared.bus.redis import RedisBus
from shared.metrics.catalogue import DialerMetrics
from shared.runtime.tasks import TaskOwner
from shared.runtime.tracing import Tracer
from shared.vobiz.applications import VobizSetup
from shared.vobiz.client import VobizClient

_ROW_PATIENCE_S = 5.0
_AFTER_FAILURE_S = 1.0
_log = structlog.get_logger(__name__)


def wall_ms() -> int:
    """Return Unix time in milliseconds."""
    return int(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class Machinery:
    """All that dials. `start` sets it going, `runner.stop` keeps it from dialling more rows."""

    dialer: Dialer
    pacing: Pacing
    claims: Claims
    runner: Runner
    settler: Settler
    reconciler: Reconciler
    limits: AccountLimits | None

    def start(
        self,
        tasks: TaskOwner,
        *,
        silent_for_s: float,
        on_failure: Callable[[str, BaseException], None],
    ) -> None:
        """Start every loop. One that fails is reported, and begins anew."""
        loops = {
            "campaigns": self.runner.run,
            "settle": self.settler.follow,
            "sweep_rows": self.settler.run,
            "reconcile": self.reconciler.run,
        }
        for name, loop in loops.items():
            tasks.start(_kept_up(name, loop, on_failure), name=name)
        sweeps = self.dialer.run_sweeps(silent_for_s=silent_for_s, looked_after=self.claims.slots)
        tasks.start(sweeps, name="sweep")
        if self.limits is not None:
            tasks.start(self.limits.run(), name="limits")


async def _kept_up(
    name: str,
    loop: Callable[[], Awaitable[None]],
    on_failure: Callable[[str, BaseException], None],
) -> None:
    while True:
        try:
            await loop()
        except Exception as exc:  # noqa: BLE001 - campaigns must not stand still for one bad record
            _log.error("loop_failed", task=name, exc_info=exc)
            on_failure(name, exc)
        else:
            return
        await asyncio.sleep(_AFTER_FAILURE_S)


def build_machinery(
    settings: DialerSettings,
    bus: RedisBus,
    vobiz: VobizClient,
    metrics: DialerMetrics,
    *,
    tracer: Tracer,
    tasks: TaskOwner,
    ledger: Ledger,
) -> Machinery:
    """Put everything together; nothing runs yet."""
    pacing = Pacing(
        bus.store,
        settings.pace_rules,
        metrics,
        concurrency=settings.dialer_concurrency or UNKNOWN_CONCURRENCY,
    )
    claims = Claims(bus.store)
    dialer = Dialer(
        vobiz,
        bus.calls,
        metrics,
        gateway=settings.gateway,
        limits=settings.limits,
        tracer=tracer,
        permit_for=_permits(pacing, settings.dialer_pace_wait_s),
    )
    settler = Settler(
        claims,
        ledger,
        bus,
        metrics,
        wall_ms=wall_ms,
        on_change=lambda: runner.wake(),
    )
    tools = RowTools(claims, ledger, pacing, settler, Trouble(), wall_ms, _ROW_PATIENCE_S)
    holidays = settings.campaign_rules.holidays

    def calendar_of(windows: Any) -> Calendar:
        return WindowCalendar(parse_windows(windows), holidays)

    rules = settings.order_rules
    orders = RowOrders(rules.from_number, MachineRule(rules.machine_detection))
    runner = Runner(
        tools,
        dialer,
        tasks,
        order_of=orders.order_of,
        calendar_of=calendar_of,
        rules=RunnerRules(lease_s=settings.dialer_lease_s),
    )
    has_account = settings.account is not None
    reconciler = Reconciler(
        vobiz if has_account else None,
        bus.calls,
        claims,
        settler,
        metrics,
        look_again_s=settings.dialer_reconcile_s,
        held_s=min(90.0, 10.0 + 4 * settings.dialer_vobiz_timeout_s),
    )
    is_asked = has_account and settings.dialer_concurrency is None
    limits = AccountLimits(VobizSetup(vobiz), pacing) if is_asked else None
    return Machinery(dialer, pacing, claims, runner, settler, reconciler, limits)


def _permits(pacing: Pacing, patience_s: float) -> Callable[[CallOrder], Permit]:
    def permit_for(order: CallOrder) -> Permit:
        claimant = Claimant(
            order.to_number, needs_agent=order.needs_agent, time_limit_s=order.time_limit_s
        )
        return AccountPermit(pacing, claimant, patience_s=patience_s)

    return permit_for
