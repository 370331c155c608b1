"""Free ports for programs that can't tell which one they took."""

from __future__ import annotations

from deploy.local.embedded_redis import free_port


def free_ports(count: int) -> list[int]:
    """Different TCP ports of 127.0.0.1 that nobody listens on now."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)
