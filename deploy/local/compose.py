"""The platform in containers, by Docker Compose."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from deploy.local import install
from deploy.local.console import StartFailed, StopAsked, complain, say
from deploy.local.plan import Address, Port, agent_replicas, caller_urls
from deploy.local.probe import Probe, http_probe

_PROBE_TIMEOUT_S = 20.0
_BUILD_TIMEOUT_S = 1200.0
_READY_TIMEOUT_S = 90.0
_POLL_S = 0.3
_ENDED = ("exited", "dead", "restarting")
_TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_CALL_TIMEOUT_S = 180.0
_LOG_LINES_SHOWN = 15
_PUBLISHED = (
    ("gateway", ("GATEWAY_PUBLISHED_PORT", "HTTP_PORT"), 5000),
    ("dialer", ("DIALER_PUBLISHED_PORT",), 5002),
    ("simulator", ("SIMULATOR_PUBLISHED_PORT",), 5003),
    ("prometheus", ("PROMETHEUS_PUBLISHED_PORT",), 9090),
)


def why_not() -> str | None:
    """None when Compose can be used here, else why it can't."""
    try:
        for command in (["docker", "info"], ["docker", "compose", "version"]):
            result = subprocess.run(
                command, capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=False
            )
            if result.returncode != 0:
                return f"`{' '.join(command)}` fails"
    except FileNotFoundError:
        return "there is no docker command"
    except subprocess.TimeoutExpired:
        return "docker does not answer"
    return None


class ComposePlatform:
    """Drives `docker compose` with the simulator's profile on."""

    mode = "compose"

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = environment

    def is_up(self) -> bool:
        """Whether any container of ours runs."""
        return bool(self._containers())

    def up(self) -> None:
        """Build, start and return when every service is ready.

        Raises:
            StartFailed: something did not start; the rest is stopped again.
        """
        replicas = agent_replicas(self._environment)
        if not self.is_up():
            self._refuse_taken_ports()
        say("building the images (the first time takes about a minute)")
        if self._run("build", "--quiet", timeout_s=_BUILD_TIMEOUT_S).returncode != 0:
            raise StartFailed(
                "building the images failed (see above); without: PARLEY_MODE=processes"
            )
        try:
            arguments = ("up", "--detach", "--quiet-pull", "--scale", f"agent={replicas}")
            if self._run(*arguments, timeout_s=_BUILD_TIMEOUT_S).returncode != 0:
                self._show_ended()
                raise StartFailed("not every container started (see above)")
            self._wait_ready(replicas)
        except BaseException:
            self.down()
            raise

    def _wait_ready(self, replicas: int) -> None:
        """Ask the services themselves: health checks of containers come too seldom for that."""
        ready_path = {"prometheus": "/-/ready"}
        waiting: dict[str, Probe] = {
            address.what: http_probe(address.url + ready_path.get(address.what, "/readyz"))
            for address in self.addresses()
        }
        for index in range(1, replicas + 1):
            waiting[f"agent {index}"] = partial(self._agent_probe, index)
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        while waiting:
            missing = {name: words for name, probe in waiting.items() if (words := probe())}
            waiting = {name: waiting[name] for name in missing}
            if not waiting:
                return
            for container in self._containers(all_states=True):
                if container.get("State") in _ENDED:
                    service = str(container.get("Service"))
                    self._show_log(service)
                    raise StartFailed(f"{service} ended while starting; its log is above")
            if time.monotonic() > deadline_s:
                name, words = next(iter(missing.items()))
                self._show_log(name.split()[0])
                raise StartFailed(f"{name} was not ready after {_READY_TIMEOUT_S:.0f} s ({words})")
            time.sleep(_POLL_S)

    def _agent_probe(self, index: int) -> str | None:
        asks = "from urllib.request import urlopen; urlopen('http://127.0.0.1:9101/readyz')"
        arguments = ("exec", "-T", "--index", str(index), "agent", "python", "-c", asks)
        result = self._run(*arguments, timeout_s=30, capture=True)
        return None if result.returncode == 0 else "its /readyz does not say 200"

    def _refuse_taken_ports(self) -> None:
        address = self._environment.get("PUBLISH_ADDRESS") or "127.0.0.1"
        for name, port in self._ports():
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((address, port.number))
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        continue  # Docker's to judge: it may publish where we may not bind
                    raise StartFailed(port.taken(name)) from error

    def _ports(self) -> Iterator[tuple[str, Port]]:
        for name, settings, default in _PUBLISHED:
            given = next((s for s in settings if self._environment.get(s)), None)
            number = int(self._environment[given]) if given else default
            yield name, Port(number, settings[0])

    def addresses(self) -> Sequence[Address]:
        """Where things are, for people."""
        return [Address(name, f"http://127.0.0.1:{port.number}") for name, port in self._ports()]

    def status(self) -> Iterator[str]:
        """One line a container."""
        for container in self._containers(all_states=True):
            health = container.get("Health") or container.get("State") or ""
            yield f"{container.get('Name', ''):<24} {health}"

    def _containers(self, *, all_states: bool = False) -> list[dict[str, Any]]:
        flags = ["--all"] if all_states else []
        result = self._run("ps", "--format", "json", *flags, capture=True, timeout_s=30)
        # One object a line since Compose 2.21, one array before.
        found: list[dict[str, Any]] = []
        for line in result.stdout.splitlines():
            if line.strip():
                entry = json.loads(line)
                found.extend(entry if isinstance(entry, list) else [entry])
        return found

    def _show_ended(self) -> None:
        for container in self._containers(all_states=True):
            if container.get("State") in _ENDED:
                self._show_log(str(container.get("Service")))

    def _show_log(self, service: str) -> None:
        complain(f"the last lines of {service}'s log:")
        arguments = ("logs", "--no-color", "--no-log-prefix", "--tail", str(_LOG_LINES_SHOWN))
        said = self._run(*arguments, service, capture=True, timeout_s=30)
        for line in said.stdout.splitlines():
            print(f"  {_TERMINAL_CODES.sub('', line)}", file=sys.stderr)

    def down(self) -> bool:
        """Stop and remove the containers, keeping the data. Returns whether anything ran.

        A stop signal while calls finish cuts them.
        """
        was_up = bool(self._containers(all_states=True))
        try:
            self._run("--profile", "*", "down", "--remove-orphans", timeout_s=400)
        except StopAsked:
            complain("asked again: cutting calls in progress")
            self._run("--profile", "*", "down", "--remove-orphans", "-t", "1", timeout_s=60)
        return was_up

    def demonstrate(self, arguments: Sequence[str]) -> int:
        """Play one call through the simulator's command line; its exit status."""
        calls = self._directory / "calls"
        calls.mkdir(parents=True, exist_ok=True)
        # As this user, so that the files in the mounted directory are ours to delete; under the
        # same path inside as outside, so that the paths it prints lead somewhere.
        result = self._run(
            *("run", "--rm", "--no-deps", "-T", "--user", f"{os.getuid()}:{os.getgid()}"),
            *("--volume", f"{calls}:{calls}", "simulator", "call", *arguments),
            *caller_urls("http://gateway:5000", self._environment),
            *("--out", str(calls / "demonstration")),
            timeout_s=_CALL_TIMEOUT_S,
        )
        return result.returncode

    def follow_logs(self) -> None:
        """Print what the containers write, until a stop signal.

        Raises:
            StartFailed: Compose stopped following by itself.
        """
        self._run("logs", "--follow", "--tail", "0", timeout_s=None)
        raise StartFailed("the containers stopped")

    def _run(
        self, *arguments: str, timeout_s: float | None, capture: bool = False
    ) -> subprocess.CompletedProcess[str]:
        try:
            # A session of its own: a terminal's Ctrl-C is for us, who then stop it in order.
            child = subprocess.Popen(
                ["docker", "compose", "--progress", "quiet", "--profile", "simulator", *arguments],
                cwd=install.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if capture else None,
                stderr=subprocess.DEVNULL if capture else None,
                text=True,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise StartFailed("there is no docker command") from error
        try:
            out, _ = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise StartFailed(
                f"docker compose {arguments[0]} took over {timeout_s:.0f} s"
            ) from error
        finally:
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(15)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
        return subprocess.CompletedProcess(arguments, child.returncode, out or "", "")
