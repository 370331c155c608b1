"""Makes the client of a Redis: of one server, of a set watched by Sentinels, or of a Cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff

from shared.bus.redis.finding import (
    SentinelFinder,
    SlotConnection,
    SlotFinder,
    SlotSSLConnection,
)
from shared.bus.redis_address import Kind, RedisAddress, parse_address

_ASKING_SHARE = 0.25
"""Of a command's time that one Sentinel or node may take to say where to go."""


@asynccontextmanager
async def open_client(
    url: str, *, prefix: str, password: str | None = None, timeout_s: float = 1.0
) -> AsyncIterator[Redis]:
    """Make a client that answers in texts, closed with the context; nothing is sent yet.

    Args:
        url: see shared/bus/redis_address.py.
        prefix: of every key, with one {hash tag}: tells where in a Cluster they are.
        password: used where the URL carries none.
        timeout_s: to connect.

    Raises:
        BadRedisUrl: of Sentinels or a Cluster, and can't be read.
    """
    address = parse_address(url)
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": None,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        # One more try, so that a connection that Redis closed while idle is not an error. What is
        # sent twice that way does no harm: the contract is at least once.
        "retry": Retry(NoBackoff(), 1),
    }
    if address.kind is Kind.SERVER:
        redis: Redis = Redis.from_url(address.url, password=password or None, **options)
    else:
        login = {"username": address.user, "password": address.password or password or None}
        pool = _following(address, prefix, login, timeout_s * _ASKING_SHARE, options | login)
        redis = Redis.from_pool(pool)
    try:
        yield redis
    finally:
        await redis.aclose()


def _following(
    address: RedisAddress,
    prefix: str,
    login: dict[str, Any],
    asking_s: float,
    options: dict[str, Any],
) -> SentinelConnectionPool:
    """Return connections that go where our keys are."""
    if address.kind is Kind.CLUSTER:
        nodes = SlotFinder(address.hosts, timeout_s=asking_s, has_tls=address.has_tls, **login)
        kind = SlotSSLConnection if address.has_tls else SlotConnection
        return _pool(prefix, nodes, connection_class=kind, **options)
    sentinels = SentinelFinder(
        address.hosts,
        timeout_s=asking_s,
        has_tls=address.has_tls,
        password=address.sentinel_password,
    )
    secure = SentinelManagedSSLConnection if address.has_tls else SentinelManagedConnection
    return _pool(address.service, sentinels, connection_class=secure, db=address.db, **options)


def _pool(name: str, finder: SentinelFinder | SlotFinder, **options: Any) -> SentinelConnectionPool:
    return SentinelConnectionPool(name, finder, **options)  # type: ignore[no-untyped-call] # redis-py's own
