"""The whole platform as `make up` starts it, on free ports, for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.local.embedded_redis import free_port
from deploy.local.processes import ProcessPlatform


@contextmanager
def bench_platform(
    folder: str, settings: Mapping[str, str] | None = None
) -> Iterator[dict[str, int]]:
    """Run the platform as processes on free ports; yield the ports by their settings' names.

    Args:
        folder: for logs and data.
        settings: in place of those of this process's environment.
    """
    names = ("HTTP_PORT", "AGENT_WS_PORT", "AGENT_METRICS_PORT", "DIALER_PORT", "SIMULATOR_PORT")
    ports = {name: free_port() for name in (*names, "PROMETHEUS_PUBLISHED_PORT")}
    environment = {
        **os.environ,
        **{name: str(port) for name, port in ports.items()},
        **{"REDIS_URL": "", "PUBLIC_URL": "", "NGROK_AUTH_TOKEN": "", "AGENT_CAPACITY": "200"},
        **(settings or {}),
    }
    platform = ProcessPlatform(Path(folder), environment)
    platform.up()
    try:
        yield ports
    finally:
        platform.down()
