"""Looking now and then at what calls depend on and nobody looks at: balance, certificate."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import structlog

from shared.metrics.catalogue import DialerMetrics
from shared.vobiz.client import AccountView
from shared.vobiz.errors import VobizFailure

_log = structlog.get_logger(__name__)
_CONNECT_S = 10.0
NOT_TRUSTED = 0.0

CertificateEnd = Callable[[str, int], Awaitable[float]]
"""Returns when a host's certificate ends, in Unix time; NOT_TRUSTED where it is no good.

Raises OSError or TimeoutError where nobody answers.
"""


async def certificate_end(host: str, port: int) -> float:
    """Look at the certificate that a server shows, as any client would; see CertificateEnd."""
    context = ssl.create_default_context()
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLCertVerificationError:
        return NOT_TRUSTED
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert()
        return float(ssl.cert_time_to_seconds(shown["notAfter"]))
    finally:
        writer.transport.abort()


class Watch:
    """Shows the account's balance and the certificate of the gateway's public URL.

    Args:
        account: None: there is none to ask.
        metrics: where it is shown.
        currency: of the balance.
        url: how Vobiz reaches the gateway; one without https has no certificate.
        certificate_end: looks at one.
    """

    def __init__(
        self,
        account: AccountView | None,
        metrics: DialerMetrics,
        *,
        currency: str,
        url: str,
        certificate_end: CertificateEnd,
    ) -> None:
        self._account = account
        self._metrics = metrics
        self._currency = currency
        self._url = urlsplit(url)
        self._certificate_end = certificate_end
        for gauge in (metrics.balance, metrics.low_balance, metrics.certificate_expiry):
            gauge.set(math.nan)

    async def run(self, *, every_s: float) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(every_s)

    async def look(self) -> None:
        """Look once. What can't be seen is no longer shown, and counted."""
        await self._look_at_balance()
        await self._look_at_certificate()

    async def _look_at_balance(self) -> None:
        if self._account is None:
            return
        available = low = math.nan
        try:
            balance = await self._account.balance(self._currency)
        except VobizFailure as failure:
            self._metrics.look_failures.labels("balance").inc()
            _log.warning("balance_not_seen", verdict=failure.verdict, status=failure.status)
        else:
            available = balance.available
            low = math.nan if balance.low is None else balance.low
        self._metrics.balance.set(available)
        self._metrics.low_balance.set(low)

    async def _look_at_certificate(self) -> None:
        host = self._url.hostname
        if self._url.scheme != "https" or host is None:
            return
        ends = math.nan
        try:
            ends = await self._certificate_end(host, self._url.port or 443)
        except (OSError, TimeoutError) as exc:
            self._metrics.look_failures.labels("certificate").inc()
            _log.warning("certificate_not_seen", error=type(exc).__name__)
        self._metrics.certificate_expiry.set(ends)
