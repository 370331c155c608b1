"""Real Redis servers for tests: the wheel's as a process and as a Cluster, redis:8.0 in an engine.

`redis_url` runs a test once against each; `redis_server` gives a server of its own to a test
that stops and restarts it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from deploy.local import install
from deploy.local.embedded_redis import EmbeddedRedis
from tests.support.engine import REDIS_IMAGE, why_no_engine
from tests.support.redis_set import ClusterSet

_START_TIMEOUT_S = 15.0


class RedisServer:
    """A Redis process that a test may stop and start again on the same port, data kept."""

    def __init__(self, directory: Path) -> None:
        self._embedded = EmbeddedRedis(install.ensure_redis_server(), directory)
        self._log_path = directory / "redis.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """With the password in it."""
        return self._embedded.url_with_password

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process, to be paused or killed by signals."""
        assert self._process is not None, "not started"
        return self._process

    def start(self) -> None:
        """Start and wait until it answers."""
        with self._log_path.open("ab") as log:
            self._process = self._embedded.start(log)
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not self._embedded.answers():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.stop()
                raise RuntimeError(f"redis-server did not start: {self._log_path.read_text()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop at once, as a crash would. Harmless when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A running server that this test alone has."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def kept_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis for the tests of one module, each of which takes a prefix of its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.stop()


@dataclass(frozen=True, slots=True)
class SessionRedis:
    """A Redis that is kept for the whole session: its URL, and those of its single servers."""

    url: str
    servers: tuple[str, ...]


@pytest.fixture(
    scope="session",
    params=["embedded", "cluster", pytest.param("container", marks=pytest.mark.containers)],
)
def session_redis(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SessionRedis]:
    """Each Redis in turn. Use `redis_url`, which empties it."""
    if request.param == "container":
        yield from _container()
        return
    directory = tmp_path_factory.mktemp("redis")
    if request.param == "cluster":
        cluster = ClusterSet(directory)
        try:
            cluster.start()
            yield SessionRedis(cluster.url, tuple(node.url for node in cluster.nodes))
        finally:
            cluster.stop()
        return
    server = RedisServer(directory)
    server.start()
    yield SessionRedis(server.url, (server.url,))
    server.stop()


def _container() -> Iterator[SessionRedis]:
    reason = why_no_engine(REDIS_IMAGE)
    if reason is not None:
        pytest.skip(reason)
    from testcontainers.community.redis import RedisContainer  # slow; only paid with an engine

    with RedisContainer(REDIS_IMAGE, password="contract") as container:
        host, port = container.get_container_host_ip(), container.get_exposed_port(6379)
        url = f"redis://:contract@{host}:{port}/0"
        yield SessionRedis(url, (url,))


@pytest.fixture
def redis_url(session_redis: SessionRedis) -> str:
    """An empty Redis: the wheel's server, three of them as a Cluster, the image of Compose."""
    for server in session_redis.servers:
        with redis.Redis.from_url(server) as client:
            client.flushall()
    return session_redis.url
