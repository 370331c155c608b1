"""A server that speaks S3, as a process of its own, with one bucket."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.support.ports import free_ports

BUCKET = "recordings"
_START_S = 30.0


@contextmanager
def s3_server() -> Iterator[str]:
    """Run one; yield its address."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _make_bucket(url)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _make_bucket(url: str) -> None:
    deadline_s = time.monotonic() + _START_S
    while True:
        try:
            httpx.put(f"{url}/{BUCKET}", trust_env=False, timeout=5).raise_for_status()
        except httpx.TransportError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
        else:
            return
