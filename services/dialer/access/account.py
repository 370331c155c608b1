"""/v1/account: what the Vobiz account may spend and do, and how much of it is in use.

Annotations are evaluated here, because FastAPI could not find what they name inside a function.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.dialer.campaigns.pacing import Pacing
from services.dialer.desk.desk import Desk
from services.dialer.desk.documents import answer_of, problems
from services.dialer.desk.door import Scope
from shared.vobiz.client import AccountView
from shared.vobiz.errors import VobizFailure

_BALANCE_GOOD_S = 30.0
_EXAMPLE = {
    "balance": 812.4,
    "currency": "INR",
    "cps": 2.0,
    "concurrency": 20,
    "in_use": 12,
    "held_until": None,
    "pace": 1.0,
    "free_agents": 8,
}


class AccountBody(BaseModel):
    """The account as it stands."""

    balance: float | None = Field(description="what it can spend; null: Vobiz does not say")
    currency: str
    cps: float = Field(description="new calls per second that are dialled at most")
    concurrency: int = Field(description="calls at once, inbound ones too")
    in_use: int = Field(description="of these")
    held_until: str | None = Field(description="Vobiz has asked to wait until then")
    pace: float = Field(description="share of cps at present: less for a while after a 429")
    free_agents: int


class AccountLook:
    """Looks at the account; Vobiz is asked for the balance twice a minute at most.

    Args:
        vobiz: None where there is no account.
        pacing: knows the limits and what is in use.
        currency: of the balance.
        now_s: monotonic.
    """

    def __init__(
        self,
        vobiz: AccountView | None,
        pacing: Pacing,
        *,
        currency: str,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._vobiz = vobiz
        self._pacing = pacing
        self._currency = currency
        self._now_s = now_s
        self._balance: float | None = None
        self._asked_s: float | None = None

    async def view(self) -> dict[str, Any]:
        """Return what the API shows.

        Raises:
            BusUnavailable: nobody knows what is in use.
        """
        use = await self._pacing.use()
        held_until = datetime.now(UTC) + timedelta(seconds=use.held_s) if use.held_s > 0 else None
        return {
            "balance": await self._known_balance(),
            "currency": self._currency,
            "cps": self._pacing.rules.cps,
            "concurrency": self._pacing.concurrency,
            "in_use": use.channels,
            "held_until": held_until.isoformat(timespec="milliseconds") if held_until else None,
            "pace": use.pace,
            "free_agents": use.free_agents,
        }

    async def _known_balance(self) -> float | None:
        now_s = self._now_s()
        if self._vobiz is None:
            return None
        if self._asked_s is None or now_s - self._asked_s >= _BALANCE_GOOD_S:
            self._asked_s = now_s
            try:
                self._balance = (await self._vobiz.balance(self._currency)).available
            except VobizFailure:
                self._balance = None
        return self._balance


def account_routes(look: AccountLook, desk: Desk) -> APIRouter:
    """Return the route of the account."""
    router = APIRouter(prefix="/v1/account", tags=["account"])

    @router.get(
        "",
        dependencies=[desk.door.needs(Scope.CALLS_READ)],
        responses=answer_of(200, AccountBody, _EXAMPLE, "The account as it stands.") | problems(),
    )
    async def get_account() -> dict[str, Any]:
        return await look.view()

    return router
