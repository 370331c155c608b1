"""A real Redis for machines without a container engine; deploy/local/install.py gets the program.

It listens on loopback alone, asks for a password, and keeps an append-only file, so a stopped
platform comes back with its records. Standard library only.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

_PORTS = range(20_000, 30_000)


def free_port() -> int:
    """A TCP port of 127.0.0.1 nobody listens on now; another program may still take it first.

    Below what systems hand out by themselves, as seconds may pass until it is used and any
    connection could be given it meanwhile.
    """
    for _ in range(100):
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port from {_PORTS.start} to {_PORTS.stop}")


@dataclass(slots=True)
class EmbeddedRedis:
    """One server's place and how to reach it. `directory` keeps its data and must exist."""

    executable: Path
    directory: Path
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    append_only: bool = True

    @property
    def url(self) -> str:
        """For clients; without the password, which travels beside it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def url_with_password(self) -> str:
        """For clients that take one text only."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self, log: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """Start the server in its own session; `answers` tells when it is ready.

        The configuration goes in by standard input, so the password shows in no process list.
        """
        process = subprocess.Popen(
            [str(self.executable), "-"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.directory,
            start_new_session=True,
        )
        assert process.stdin is not None  # it was asked for just above
        process.stdin.write(self._configuration().encode())
        process.stdin.close()
        return process

    def answers(self, timeout_s: float = 0.5) -> bool:
        """Whether the server takes the password and answers PING now."""
        request = f"AUTH {self.password}\r\nPING\r\n".encode()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout_s) as connection:
                connection.settimeout(timeout_s)
                connection.sendall(request)
                said = b""
                while said.count(b"\r\n") < 2:
                    piece = connection.recv(256)
                    if not piece:
                        return False
                    said += piece
        except OSError:
            return False
        return said == b"+OK\r\n+PONG\r\n"

    def _configuration(self) -> str:
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self.password}",
            f'dir "{self.directory}"',
            f"appendonly {'yes' if self.append_only else 'no'}",
            "appendfsync everysec",
            'save ""',
            "daemonize no",
        ]
        return "\n".join(lines) + "\n"
