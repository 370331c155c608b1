"""The bus on Redis (6.2 or newer): records, events, pool, small values.

Every key carries the prefix, which holds a hash tag so that one script may touch several keys on
a Cluster, where all of a prefix lie on one node. Several installations on one Redis, or shards of a
large one on a Cluster, take different prefixes.

    {parley}:call:<id>       record, JSON, expires         {parley}:calls     index by creation
    {parley}:events          stream of all events          {parley}:seq:<ch>  numbers per channel
    {parley}:workers         worker ids by end of lease    {parley}:worker:<id>  lease, JSON
    {parley}:bookings:<id>   call ids by end of booking    {parley}:booked:<call>  worker id
    {parley}:value:<key>     small values
    {parley}:outbox:due      items by when they may be claimed
    {parley}:outbox:item:<id>  item, hash, expires         {parley}:outbox:seen:<id>  id is known
    {parley}:outbox:dead     dead letters by time          {parley}:outbox:refused    a count
    {parley}:cache:value:<key>  what can be made anew, with :cache:index, :cache:sizes, :cache:bytes
    {parley}:session:<call>  epoch and newest snapshot of a session, hash, expires
    {parley}:dial:...        the dialer's own: see services/dialer/campaigns/scripts.py
    channels {parley}:live:<call>: what happens in a call that somebody watches
    channels parley:calls, parley:hangups, parley:workers, parley:campaigns, named
    `<prefix>:ch:<channel>`

All times inside scripts are Redis's own, so that hosts need no common clock.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.bus.base import BusUnavailable
from shared.bus.redis.cache import RedisCache
from shared.bus.redis.calls import RedisCalls
from shared.bus.redis.client import open_client
from shared.bus.redis.events import RedisEvents
from shared.bus.redis.live import RedisLive
from shared.bus.redis.outbox import RedisOutbox
from shared.bus.redis.sessions import RedisSessions
from shared.bus.redis.store import Store
from shared.bus.redis.values import RedisValues
from shared.bus.redis.workers import RedisWorkers
from shared.metrics.catalogue import BusMetrics


class RedisBus:
    """All parts on one Redis; `store` is for what a service keeps there for itself."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.events = RedisEvents(store)
        self.calls = RedisCalls(store)
        self.workers = RedisWorkers(store)
        self.values = RedisValues(store)
        self.outbox = RedisOutbox(store)
        self.cache = RedisCache(store)
        self.sessions = RedisSessions(store)
        self.live = RedisLive(store)

    async def ping(self) -> bool:
        """Whether the server that has our keys answers in time."""
        try:
            # Unlike PING, the wrong node of a Cluster does not answer this.
            await self.store.run("ping", self.store.redis.exists(f"{self.store.prefix}:events"))
        except BusUnavailable:
            return False
        return True


@asynccontextmanager
async def open_bus(
    url: str,
    *,
    password: str | None = None,
    prefix: str = "{parley}",
    timeout_s: float = 1.0,
    metrics: BusMetrics | None = None,
) -> AsyncIterator[RedisBus]:
    """Open the bus; nothing is sent yet, so an absent Redis shows at first use.

    Args:
        url: of one server, of Sentinels or of a Cluster: see shared/bus/redis_address.py.
        password: used where the URL carries none.
        prefix: of every key and channel, with one {hash tag}.
        timeout_s: bound of every command.
        metrics: where latencies and errors are counted.
    """
    async with open_client(url, prefix=prefix, password=password, timeout_s=timeout_s) as redis:
        yield RedisBus(Store(redis, prefix=prefix, timeout_s=timeout_s, metrics=metrics))
