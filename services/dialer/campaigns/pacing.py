"""Pacing: who may dial now, decided by one atomic script for all dialers and all calls.

The account's limits are Vobiz's: new calls per second, and calls at once, inbound ones too. A grant
is asked for with the connection to Vobiz already there and is void soon after, so that the requests
leave as far apart as the grants were given. It is looked at once more when only the last part of
the request is left to be sent; what is late all the same, because the process stood still in that
very moment, counts from when it was sent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any, Final

from services.dialer.campaigns import grant_script as scripts
from services.dialer.campaigns.model import CampaignId, Row
from shared.bus.redis.store import Store
from shared.metrics.catalogue import DialerMetrics
from shared.protocol.call import CallId

UNKNOWN_CONCURRENCY: Final = 3
"""Calls at once until Vobiz has said how many: what an entry account has."""
_GRACE_S: Final = 300.0
_LEAST_RATE: Final = 0.1
_RECOVERY_S: Final = 30.0
_NO_AGENT_NEEDED: Final = -1


class GrantAnswer(StrEnum):
    """What came of asking for a grant; labels a metric together with the reasons to wait."""

    GO = "go"
    WAIT = "wait"
    STOPPED = "stopped"
    LOST = "lost"
    DO_NOT_CALL = "do_not_call"


WHY_WAIT: Final = (*("held", "rate", "channels", "campaign_rate", "campaign_channels", "no_agent"),)
"""What a call waits for: Vobiz has asked to wait, the account's calls per second or at once, those
of the campaign alone, an agent."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer. `wait_s` and `why` belong to WAIT; `asked_s` is monotonic, from before asking."""

    answer: GrantAnswer
    wait_s: float = 0.0
    why: str = ""
    asked_s: float = 0.0

    @property
    def is_of_account(self) -> bool:
        """Whether every campaign has to wait."""
        return self.why in {"held", "rate", "channels"}


@dataclass(frozen=True, slots=True)
class PaceRules:
    """How fast may be dialled.

    Attributes:
        cps: the account's new calls per second.
        margin_s: added to the second in which they are counted; half of it is how long a grant is
            good.
        agents_kept_free: agents left to inbound calls.
        look_after_s: when a granted call of which nothing is known is looked at.
        call_max_s: longest call where nothing else is said: a lost end frees its channel then.
    """

    cps: float = 1.0
    margin_s: float = 0.1
    agents_kept_free: int = 0
    look_after_s: float = 180.0
    call_max_s: float = 14_400.0


@dataclass(frozen=True, slots=True)
class Claimant:
    """Whose call it is: of a leased row, or a one-off one where there is no campaign."""

    to_number: str
    campaign_id: CampaignId | None = None
    row: Row | None = None
    lease: str = ""
    needs_agent: bool = False
    time_limit_s: int | None = None


@dataclass(frozen=True, slots=True)
class AccountUse:
    """How full the account is; `held_s`: how long Vobiz has asked to wait, `pace` 1: full speed."""

    channels: int
    free_agents: int
    held_s: float
    pace: float


class Pacing:
    """Grants. Every method raises BusUnavailable when nobody knows whether it was done.

    Args:
        store: the Redis.
        rules: how fast.
        metrics: where answers are counted.
        concurrency: calls at once; set again when Vobiz tells another number.
        chance: spreads what waits.
    """

    def __init__(
        self,
        store: Store,
        rules: PaceRules,
        metrics: DialerMetrics,
        *,
        concurrency: int = UNKNOWN_CONCURRENCY,
        chance: Random | None = None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._metrics = metrics
        self.concurrency = concurrency
        self._chance = chance or Random()  # noqa: S311 - spreads what waits

    @property
    def rules(self) -> PaceRules:
        """How fast."""
        return self._rules

    def _limits(self, *, needs_agent: bool) -> tuple[float, int, int, int]:
        rules = self._rules
        kept = rules.agents_kept_free if needs_agent else _NO_AGENT_NEEDED
        return rules.cps, self.concurrency, int(rules.margin_s * 1000), kept

    async def ask(self, call_id: CallId, claimant: Claimant) -> Grant:
        """Ask whether a call may be dialled, right now.

        GO moves a leased row to `asking` and takes a channel. Asked again for the same call it is
        renewed; a call that is not dialled after all must be given back by whoever asked.
        """
        asked_s = time.monotonic()
        of_row: tuple[Any, ...] = ("", claimant.to_number, *self._lives_ms(claimant))
        if claimant.campaign_id is not None and claimant.row is not None:
            of_row = (claimant.campaign_id, *of_row[1:], claimant.row.n, claimant.lease)
        limits = self._limits(needs_agent=claimant.needs_agent)
        answer = await self._store.script("dial_grant", scripts.GRANT, call_id, *limits, *of_row)
        grant = _grant_from(answer, asked_s)
        self._metrics.grants.labels(grant.why or grant.answer.value).inc()
        return grant

    def _lives_ms(self, claimant: Claimant) -> tuple[int, int]:
        talk_s = claimant.time_limit_s or self._rules.call_max_s
        return int((talk_s + _GRACE_S) * 1000), int(self._rules.look_after_s * 1000)

    def is_good(self, grant: Grant) -> bool:
        """Whether a grant may still be used."""
        return time.monotonic() - grant.asked_s < self._rules.margin_s / 2

    async def sent(
        self, call_id: CallId, grant: Grant, campaign_id: CampaignId | None = None
    ) -> None:
        """The request of a granted call has gone out: one that is late counts from now on."""
        if self.is_good(grant):
            return
        self._metrics.late_sends.inc()
        await self._store.script("dial_sent", scripts.SENT, call_id, campaign_id or "")

    async def peek(self, campaign_id: CampaignId | None, *, needs_agent: bool) -> Grant:
        """Say what asking would come to, GO or WAIT, without taking anything."""
        limits = self._limits(needs_agent=needs_agent)
        answer = await self._store.script("dial_peek", scripts.PEEK, *limits, campaign_id or "")
        return _grant_from(answer, time.monotonic())

    async def undo(self, call_id: CallId) -> None:
        """A one-off call was granted and not dialled: its channel is free."""
        await self._store.script("dial_undo", scripts.UNDO, call_id)

    async def hold(self, wait_s: float, *, slow_down: bool) -> None:
        """Let nobody dial for a while, a little longer than asked for.

        Args:
            wait_s: as Vobiz asks.
            slow_down: dial half as fast afterwards; the full rate comes back within half a minute.
        """
        spread_s = wait_s * (1 + 0.25 * self._chance.random())
        share = 0.5 if slow_down else 1
        args = (max(1, int(spread_s * 1000)), share, _LEAST_RATE, int(_RECOVERY_S * 1000))
        await self._store.script("dial_hold", scripts.HOLD, *args)

    async def use(self) -> AccountUse:
        """Return how full the account is."""
        channels, free, held_ms, pace = await self._store.script("dial_use", scripts.USE)
        return AccountUse(int(channels), int(free), int(held_ms) / 1000, float(pace))


def _grant_from(answer: list[Any], asked_s: float) -> Grant:
    if answer[0] == "wait":
        return Grant(GrantAnswer.WAIT, int(answer[1]) / 1000, answer[2], asked_s)
    return Grant(GrantAnswer(answer[0]), asked_s=asked_s)
