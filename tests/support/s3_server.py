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


class S3Server:
    """A running one."""

    def __init__(self) -> None:
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start with an empty bucket."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _make_bucket(self.url)

    def signal(self, number: int) -> None:
        """Freeze it, have it go on, or kill it."""
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def stop(self) -> None:
        """Stop it at once, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run one."""
    server = S3Server()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def bucket_environment(url: str, folder: str = "") -> dict[str, str]:
    """The settings of a service that keeps recordings there."""
    return {
        "RECORDINGS_URL": f"s3://{BUCKET}/{folder}",
        "RECORDINGS_S3_ENDPOINT": url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


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
