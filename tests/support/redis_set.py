"""Several Redis servers that belong together: a set watched by Sentinels, and a Cluster."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from deploy.local import install
from deploy.local.embedded_redis import free_port
from tests.support.ports import free_ports

SERVICE = "parley-test"
_PASSWORD = "set-of-the-tests"
_START_TIMEOUT_S = 20.0
_EPHEMERAL_FROM = 32_768


class Node:
    """One server process of a set; it may be killed and started again, data kept."""

    def __init__(
        self, directory: Path, port: int, *options: str, is_sentinel: bool = False
    ) -> None:
        self.port = port
        self._directory = directory / str(port)
        self._directory.mkdir(parents=True, exist_ok=True)
        lines = [f"port {port}", "bind 127.0.0.1", f'dir "{self._directory}"', *options]
        self._file = self._directory / "redis.conf"
        self._file.write_text("\n".join(lines) + "\n")
        self._mode = ["--sentinel"] if is_sentinel else []
        self._password = None if is_sentinel else _PASSWORD
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of this server alone, with the password in it."""
        return f"redis://:{_PASSWORD}@127.0.0.1:{self.port}/0"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process, to be paused or killed by signals."""
        assert self._process is not None, "not started"
        return self._process

    def start(self) -> None:
        """Start and wait until it answers."""
        with (self._directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(install.ensure_redis_server()), str(self._file), *self._mode],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.until(lambda client: client.ping())

    def stop(self) -> None:
        """Stop at once, as a crash would. Harmless when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def run(self, *command: str | int) -> Any:
        """Send a command and return the answer."""
        with self._client() as client:
            return client.execute_command(*command)

    def until(self, claim: Any) -> None:
        """Wait until a claim about this server, asked through a client, holds."""
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                with self._client() as client:
                    if claim(client):
                        return
            except redis.RedisError:
                pass
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"the server on port {self.port} is not as it should be")
            time.sleep(0.02)

    def _client(self) -> redis.Redis:
        return redis.Redis(
            port=self.port, password=self._password, socket_timeout=2.0, decode_responses=True
        )


_DATA = (f"requirepass {_PASSWORD}", f"masterauth {_PASSWORD}", "appendonly yes", 'save ""')


_CLUSTER = (
    *_DATA,
    "cluster-enabled yes",
    "cluster-node-timeout 2000",
    "repl-diskless-sync-delay 0",
)


class SentinelSet:
    """A master, a replica and three Sentinels that fail over within a second or two."""

    def __init__(self, directory: Path) -> None:
        ports = free_ports(5)
        self.master = Node(directory, ports[0], *_DATA)
        # Without a delay, so that a full copy over loopback does not wait for others.
        options = (f"replicaof 127.0.0.1 {ports[0]}", "repl-diskless-sync-delay 0")
        self.replica = Node(directory, ports[1], *_DATA, *options)
        self.sentinels = [
            Node(
                directory,
                port,
                f"sentinel monitor {SERVICE} 127.0.0.1 {ports[0]} 2",
                f"sentinel auth-pass {SERVICE} {_PASSWORD}",
                f"sentinel down-after-milliseconds {SERVICE} 1000",
                f"sentinel failover-timeout {SERVICE} 3000",
                is_sentinel=True,
            )
            for port in ports[2:]
        ]

    @property
    def url(self) -> str:
        """Of the Sentinels, with Redis's password."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.sentinels)
        return f"redis+sentinel://:{_PASSWORD}@{hosts}/{SERVICE}"

    def start(self) -> None:
        """Start all; the replica is in step then and each Sentinel knows of all others."""
        for node in (self.master, self.replica, *self.sentinels):
            node.start()
        self.replica.until(lambda client: client.info("replication")["master_link_status"] == "up")
        for node in self.sentinels:
            node.until(lambda client: _knows_all(client.sentinel_masters()[SERVICE]))

    def stop(self) -> None:
        """Stop all at once."""
        for node in (*self.sentinels, self.replica, self.master):
            node.stop()


def _knows_all(master: dict[str, Any]) -> bool:
    return bool(master["num-other-sentinels"] == 2 and master["num-slaves"] == 1)


def _ports_of_nodes(count: int) -> list[int]:
    """Free ports, each with the one 10,000 above it, which is not one that systems hand out."""
    low = (port for port in iter(free_port, 0) if port < _EPHEMERAL_FROM - 10_000)
    free = (port for port in low if _is_free(port + 10_000))
    found: set[int] = set()
    while len(found) < count:
        found.add(next(free))
    return list(found)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _slots(client: redis.Redis) -> list[list[Any]]:
    """Ranges of slots: first, last, the master, its replicas."""
    return list(client.execute_command("CLUSTER", "SLOTS"))  # type: ignore[no-untyped-call] # redis-py's own


class ClusterSet:
    """Three masters, each with a third of the slots."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.nodes = [Node(directory, port, *_CLUSTER) for port in _ports_of_nodes(3)]
        self._replicas: list[Node] = []

    @property
    def url(self) -> str:
        """Of two nodes: the third is found."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])
        return f"redis+cluster://:{_PASSWORD}@{hosts}"

    def start(self) -> None:
        """Start the nodes and join them; returns when each says that the cluster is well."""
        for node in self.nodes:
            node.start()
        for number, node in enumerate(self.nodes):
            node.run("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            slots = range(number * 16384 // 3, (number + 1) * 16384 // 3)
            node.run("CLUSTER", "ADDSLOTS", *slots)
        for node in self.nodes[1:]:
            self.nodes[0].run("CLUSTER", "MEET", "127.0.0.1", node.port)
        for node in self.nodes:
            node.until(
                lambda client: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok"
            )

    def add_replica(self, key: str) -> Node:
        """Start a replica of the node that has a key, and wait until it is in step."""
        master = self.nodes[key_slot(key.encode()) * len(self.nodes) // 16384]
        (port,) = _ports_of_nodes(1)
        replica = Node(self._directory, port, *_CLUSTER)
        self._replicas.append(replica)
        replica.start()
        master.run("CLUSTER", "MEET", "127.0.0.1", port)
        master_id = master.run("CLUSTER", "MYID")
        replica.until(lambda client: client.execute_command("CLUSTER", "REPLICATE", master_id))
        replica.until(lambda client: client.info("replication")["master_link_status"] == "up")
        for node in self.nodes:  # who does not know of it has no vote for it
            node.until(lambda client: any(len(row) > 3 for row in _slots(client)))
        return replica

    def stop(self) -> None:
        """Stop all at once."""
        for node in (*self._replicas, *self.nodes):
            node.stop()
