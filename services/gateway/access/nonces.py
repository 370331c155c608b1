"""The nonces of signed webhooks that were seen, so that none serves twice with other content."""

from __future__ import annotations

from collections import OrderedDict

import structlog

from shared.bus.base import BusUnavailable, KeyValue

_log = structlog.get_logger(__name__)
_LOCAL_SIZE = 20_000


class NonceMemory:
    """Remembers what came with a nonce: on the bus, and here for when the bus is away."""

    def __init__(self, values: KeyValue, *, memory_s: float) -> None:
        self._values = values
        self._memory_s = memory_s
        self._local: OrderedDict[str, str] = OrderedDict()

    async def is_other(self, key: str, digest: str) -> bool:
        """Remember a nonce's content; True when it came before with another one."""
        known = self._local.get(key)
        if known is not None:
            return known != digest
        self._local[key] = digest
        if len(self._local) > _LOCAL_SIZE:
            self._local.popitem(last=False)
        try:
            if await self._values.put(key, digest, ttl_s=self._memory_s, only_if_absent=True):
                return False
            known = await self._values.get(key)
        except BusUnavailable:
            _log.warning("nonce_not_shared")
            return False
        if known is None or known == digest:
            return False
        self._local[key] = known
        return True
