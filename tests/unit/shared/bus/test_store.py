from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisLost

from shared.bus.base import BusUnavailable
from shared.bus.redis.store import Store


@pytest.mark.parametrize(
    "error", [RedisLost("gone"), OSError("gone"), RuntimeError("the handler is closed")]
)
async def test_whatever_breaks_is_the_bus_that_is_away(error: Exception) -> None:
    async def command() -> Any:
        raise error

    store = Store(None, prefix="x", timeout_s=1.0, metrics=None)  # type: ignore[arg-type]
    with pytest.raises(BusUnavailable, match="asked"):
        await store.run("asked", command())
