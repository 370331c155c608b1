"""Finds the server that has our keys: by Sentinels, or as a Cluster's owner of their slot.

It is redis-py's way of following a master, with finders of our own in the place of its Sentinel:
every new connection asks where to go, and one whose server says that it is not the place any more
is given up. As all keys of a prefix lie in one slot, a Cluster is a single server that moves, to
the commands as to their cost.

Who is asked is asked on a connection of its own, without redis-py's `socket_timeout`: by that, on
Python 3.11, a command that is cancelled may go on as if it were not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, SentinelManagedConnection
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MovedError, RedisError

Address = tuple[str, int]
_MOST_KNOWN = 50


Question = Callable[[Connection, Address], Awaitable[Address | None]]
"""What a finder asks one host: the place to go, or None where it does not know."""


class _Hosts:
    """Asks one host after the other, those first that have known before, and last who was lost.

    Args:
        hosts: at least one.
        timeout_s: of one host's answer, connection included.
        has_tls: whether connections are encrypted.
        options: of the connections.
    """

    def __init__(
        self, hosts: Sequence[Address], *, timeout_s: float, has_tls: bool, **options: Any
    ) -> None:
        self.hosts = tuple(hosts)
        self._timeout_s = timeout_s
        self._kind: type[Connection] = SSLConnection if has_tls else Connection
        self._options = options

    async def ask(self, question: Question) -> Address:
        for address in self.hosts:
            try:
                async with asyncio.timeout(self._timeout_s):
                    found = await self._ask_one(address, question)
            except (RedisError, OSError, TimeoutError):
                self._put_last(address)
                continue
            if found is not None:
                self.hosts = tuple(dict.fromkeys((address, *self.hosts)))
                return found
        raise MasterNotFoundError("none of those asked knows where our keys are")

    def _put_last(self, address: Address) -> None:
        """So that a command whose time ends among hosts that hang brings the next one further."""
        if address in self.hosts:
            self.hosts = (*(host for host in self.hosts if host != address), address)

    async def _ask_one(self, address: Address, question: Question) -> Address | None:
        connection = self._kind(
            host=address[0],
            port=address[1],
            decode_responses=True,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
            **self._options,
        )
        try:
            await connection.connect()  # type: ignore[no-untyped-call] # redis-py's own
            return await question(connection, address)
        finally:
            # Waits for nothing, so that whoever is cancelled here leaves nothing open.
            await connection.disconnect(nowait=True)


async def _send(host: Connection, *command: str) -> Any:
    await host.send_command(*command)
    return await host.read_response()


class SentinelFinder:
    """Asks Sentinels for the master of a set."""

    def __init__(self, hosts: Sequence[Address], **options: Any) -> None:
        self._hosts = _Hosts(hosts, **options)

    async def discover_master(self, service_name: str) -> Address:
        """Return the master of the set of that name; raises redis-py's MasterNotFoundError."""

        async def ask(host: Connection, _address: Address) -> Address | None:
            found = await _send(host, "SENTINEL", "get-master-addr-by-name", service_name)
            return (str(found[0]), int(found[1])) if found else None

        return await self._hosts.ask(ask)


class SlotFinder:
    """Asks a Cluster's nodes who has a slot; more nodes are learned from what they say."""

    def __init__(self, hosts: Sequence[Address], **options: Any) -> None:
        self._hosts = _Hosts(hosts, **options)
        self._named = tuple(hosts)

    async def discover_master(self, service_name: str) -> Address:
        """Return who has the slot of a key; raises redis-py's MasterNotFoundError."""
        slot = key_slot(service_name.encode())

        async def ask(host: Connection, address: Address) -> Address | None:
            # One that is cut off from most others hears of no changes; it says that it fails.
            if "cluster_state:ok" not in await _send(host, "CLUSTER", "INFO"):
                return None
            rows = await _send(host, "CLUSTER", "SLOTS")
            servers = [[(row[0] or address[0], int(row[1])) for row in r[2:]] for r in rows]
            known = dict.fromkeys(server for row in servers for server in row)
            self._hosts.hosts = tuple(dict.fromkeys((*tuple(known)[:_MOST_KNOWN], *self._named)))
            for row, found in zip(rows, servers, strict=True):
                if row[0] <= slot <= row[1]:
                    return found[0]
            return None

        return await self._hosts.ask(ask)


class SlotConnection(SentinelManagedConnection):
    """A connection that is given up when its server has the slot no longer."""

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read an answer; raises redis-py's ConnectionError in place of MOVED."""
        try:
            return await super().read_response(*args, **options)
        except MovedError as exc:
            await self.disconnect()
            raise RedisConnectionError("the slot has moved") from exc


class SlotSSLConnection(SlotConnection, SSLConnection):
    """The same with TLS."""
