"""The bus on Redis."""

from shared.bus.redis.bus import RedisBus, open_bus

__all__ = ["RedisBus", "open_bus"]
