"""Delivers ended calls: takes them from the outbox and posts them to their agents' URLs.

Every worker runs one. Which worker posts what is decided by the outbox's leases, so a call that
ended here may be delivered by another. What is delivered twice carries the same Idempotency-Key.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, assert_never
from urllib.parse import urlsplit

import httpx
import structlog

from services.agent.after_call.post_call import PostCall, request_headers
from services.agent.after_call.verdict import (
    Chance,
    Delivered,
    GiveUp,
    TryAgain,
    Verdict,
    backoff_s,
    judge,
)
from shared.bus.base import BusUnavailable, Outbox
from shared.bus.messages import Added, Claim, OutboxItem, Retried
from shared.metrics.catalogue import AfterCallMetrics
from shared.runtime.clock import Clock
from shared.runtime.outbound_http import AddressRefused, PinnedTransport
from shared.runtime.tasks import TaskOwner

_SKIM_S = 1.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeliveryBounds:
    """How a worker delivers.

    Attributes:
        timeout_s: of a whole request, from resolving the name until the answer's first bytes.
        lease_s: how long an item is this worker's; well above `timeout_s`.
        at_once: requests at the same time.
        poll_s: how often the outbox is looked at for what other workers left.
        waiting: items that wait here while the outbox is away; beyond it the oldest are dropped.
        answer_bytes: of an answer's body that are read, so that a receiver can end its answer.
    """

    timeout_s: float = 10.0
    lease_s: float = 30.0
    at_once: int = 8
    poll_s: float = 2.0
    waiting: int = 200
    answer_bytes: int = 4096


class Deliverer:
    """The delivering task of a worker, for as long as its context lasts.

    Leaving the context cuts what is under way; another worker takes it up when its lease has ended.

    Args:
        outbox: where ended calls wait.
        worker: names this worker to the outbox.
        secret_of: returns an environment variable's value, or None when it is not set.
        metrics: what became of it.
        clock: times signatures.
        chance: spreads retries.
        bounds: see there.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        worker: str,
        secret_of: Callable[[str], str | None],
        metrics: AfterCallMetrics,
        clock: Clock,
        chance: Chance,
        bounds: DeliveryBounds | None = None,
    ) -> None:
        self._outbox = outbox
        self._worker = worker
        self._secret_of = secret_of
        self._metrics = metrics
        self._clock = clock
        self._chance = chance
        self._bounds = bounds or DeliveryBounds()
        self._owner = TaskOwner("after_call")
        self._news = asyncio.Event()
        self._under_way = 0
        self._is_away = False
        self._waiting: deque[OutboxItem] = deque()
        self._clients: dict[bool, httpx.AsyncClient] = {}

    async def __aenter__(self) -> Self:
        for allow_private in (False, True):
            self._clients[allow_private] = httpx.AsyncClient(
                transport=PinnedTransport(allow_private=allow_private),
                timeout=self._bounds.timeout_s,
                follow_redirects=False,
                trust_env=False,
            )
        self._owner.start(self._run(), name="deliver")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._owner.stop()
        await self._put_waiting()
        for client in self._clients.values():
            await client.aclose()

    async def hand_over(self, item: OutboxItem) -> None:
        """Put an ended call into the outbox, or keep it here while that is away; never raises."""
        if len(self._waiting) >= self._bounds.waiting:
            dropped = self._waiting.popleft()
            self._drop(dropped, "outbox_away")
        self._waiting.append(item)
        await self._put_waiting()
        self._news.set()

    async def _put_waiting(self) -> None:
        while self._waiting:
            item = self._waiting.popleft()
            try:
                added = await self._outbox.add(item)
            except BusUnavailable as exc:
                self._waiting.appendleft(item)
                self._note_away(exc)
                return
            if added is Added.FULL:
                self._drop(item, "outbox_full")

    def _note_away(self, error: BusUnavailable) -> None:
        """Log once that the outbox is away, however often that is found out."""
        if not self._is_away:
            _log.warning("outbox_away", waiting=len(self._waiting), error=str(error))
        self._is_away = True

    def _drop(self, item: OutboxItem, reason: str) -> None:
        self._metrics.dropped.inc()
        _log.error("post_call_dropped", call_id=item.item_id, reason=reason)

    # --- the loop ----------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                if self._waiting:
                    await self._put_waiting()
                await self._claim()
                self._metrics.pending.set((await self._outbox.counts()).pending)
                self._is_away = False
            except BusUnavailable as exc:
                self._note_away(exc)
            try:
                async with asyncio.timeout(self._bounds.poll_s):
                    await self._news.wait()
            except TimeoutError:
                continue
            self._news.clear()

    async def _claim(self) -> None:
        free = self._bounds.at_once - self._under_way
        if free <= 0:
            return
        claims = await self._outbox.claim(self._worker, lease_s=self._bounds.lease_s, limit=free)
        for claim in claims:
            self._under_way += 1
            self._owner.start(self._deliver(claim), name=f"post:{claim.item_id}")

    async def _deliver(self, claim: Claim) -> None:
        try:
            verdict = await self._attempt(claim)
            await self._settle(claim, verdict)
        finally:
            self._under_way -= 1
            self._news.set()

    async def _settle(self, claim: Claim, verdict: Verdict) -> None:
        """Tell the outbox. When it is away the lease ends by itself, and the item comes again."""
        log = _log.bind(call_id=claim.item_id, attempt=claim.attempt)
        try:
            match verdict:
                case Delivered():
                    self._metrics.attempts.labels("delivered").inc()
                    log.info("post_call_delivered", age_s=round(claim.age_s, 1))
                    await self._outbox.done(claim.item_id)
                case TryAgain():
                    outcome = await self._outbox.retry(claim, after_s=verdict.after_s)
                    is_dead = outcome is Retried.DEAD
                    self._metrics.attempts.labels("dead" if is_dead else "retried").inc()
                    log.warning(
                        "post_call_dead" if is_dead else "post_call_retried",
                        reason=verdict.reason,
                        after_s=round(verdict.after_s, 1),
                    )
                case GiveUp():
                    self._metrics.attempts.labels("dead").inc()
                    log.error("post_call_dead", reason=verdict.reason)
                    await self._outbox.bury(claim, reason=verdict.reason)
                case _:
                    assert_never(verdict)
        except BusUnavailable as exc:
            log.warning("post_call_not_settled", error=str(exc))

    # --- one attempt -------------------------------------------------------------------------

    async def _attempt(self, claim: Claim) -> Verdict:
        try:
            post = PostCall.from_json(claim.payload)
        except ValueError:
            return GiveUp("unreadable")
        secret = self._secret_of(post.secret_env) if post.secret_env else None
        if post.secret_env and not secret:
            _log.error("post_call_secret_missing", variable=post.secret_env)
            return self._again("secret_missing", claim)
        started_s = self._clock.now_s()
        try:
            async with asyncio.timeout(self._bounds.timeout_s):
                answer = await self._send(claim, post, secret)
        except TimeoutError:
            return self._again("timeout", claim)
        except AddressRefused:
            return GiveUp("private_address")
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
            return GiveUp("bad_request")
        except httpx.HTTPError as exc:
            return self._again(type(exc).__name__, claim)
        finally:
            self._metrics.seconds.observe(self._clock.now_s() - started_s)
        await self._skim(answer)
        host = urlsplit(post.url).hostname
        _log.debug("post_call_answered", status=answer.status_code, host=host)
        return judge(
            answer.status_code,
            answer.headers.get("retry-after"),
            attempt=claim.attempt,
            now=self._clock.wall(),
            chance=self._chance,
        )

    async def _send(self, claim: Claim, post: PostCall, secret: str | None) -> httpx.Response:
        """Post, and return the answer with its body unread."""
        body = post.body.encode()
        at_s = int(self._clock.wall().timestamp())
        headers = request_headers(claim.item_id, claim.attempt, body, secret=secret, at_s=at_s)
        client = self._clients[post.allow_private]
        request = client.build_request("POST", post.url, content=body, headers=headers)
        return await client.send(request, stream=True)

    async def _skim(self, answer: httpx.Response) -> None:
        """Read a short answer to its end and leave a long, slow or broken one: it says nothing."""
        left = self._bounds.answer_bytes
        try:
            async with asyncio.timeout(_SKIM_S):
                async for chunk in answer.aiter_raw():
                    left -= len(chunk)
                    if left <= 0:
                        break
        except (httpx.HTTPError, TimeoutError):
            pass
        finally:
            await answer.aclose()

    def _again(self, reason: str, claim: Claim) -> TryAgain:
        return TryAgain(reason, backoff_s(claim.attempt, self._chance))
