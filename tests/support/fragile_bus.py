"""A bus that can be told to be away: every call to it then fails at once."""

from __future__ import annotations

from typing import Any

from shared.bus.base import BusUnavailable
from shared.bus.memory import MemoryBus


class FragileBus:
    """MemoryBus with a switch."""

    def __init__(self) -> None:
        self._bus = MemoryBus()
        self.is_away = False
        self.events: Any = _Guarded(self, self._bus.events)
        self.calls: Any = _Guarded(self, self._bus.calls)
        self.workers: Any = _Guarded(self, self._bus.workers)
        self.values: Any = _Guarded(self, self._bus.values)
        self.outbox: Any = _Guarded(self, self._bus.outbox)
        self.sessions: Any = _Guarded(self, self._bus.sessions)
        self.live: Any = _Guarded(self, self._bus.live)

    @property
    def inner(self) -> MemoryBus:
        """The bus itself, which a test can always look into."""
        return self._bus

    async def ping(self) -> bool:
        return not self.is_away


class _Guarded:
    def __init__(self, bus: FragileBus, part: Any) -> None:
        self._bus = bus
        self._part = part

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)
        if name in ("subscribe", "follow"):
            return method

        async def guarded(*arguments: Any, **options: Any) -> Any:
            if self._bus.is_away:
                raise BusUnavailable("away")
            return await method(*arguments, **options)

        return guarded
