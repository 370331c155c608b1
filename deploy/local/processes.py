"""The platform as processes of this machine, for where no container engine answers."""

from __future__ import annotations

import errno
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from shutil import which
from typing import IO

from deploy.local import install
from deploy.local.console import StartFailed, StopAsked, complain, say
from deploy.local.embedded_redis import EmbeddedRedis, free_port
from deploy.local.plan import Address, Plan, Port, Program, agent_replicas, caller_urls, make_plan
from deploy.local.probe import Probe, http_probe
from deploy.local.prometheus import local_configuration
from deploy.local.state import Running, State, StateFile, began
from shared.bus.redis_address import BadRedisUrl, redis_place

_READY_TIMEOUT_S = 60.0
_POLL_S = 0.1
_CUT_GRACE_S = 5.0
_DRAIN_DEFAULT_S = 120.0
_CALL_TIMEOUT_S = 180.0
_LOG_LINES_SHOWN = 15
_PROMETHEUS_PORT = 9090


class ProcessPlatform:
    """Starts, watches and stops the processes; `directory` keeps logs, data and ids."""

    mode = "processes"

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = environment
        self._states = StateFile(directory)
        self._running: list[Running] = []
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._addresses: list[Address] = []
        self._python = install.VENV_PYTHON

    def is_up(self) -> bool:
        """Whether everything a former `up` started still runs."""
        state = self._states.read()
        return bool(
            state
            and state.mode == self.mode
            and state.processes
            and all(process.is_alive for process in state.processes)
        )

    def has_left_over(self) -> bool:
        """Whether any process of a former `up` still runs."""
        state = self._states.read()
        return bool(state and any(process.is_alive for process in state.processes))

    def up(self) -> None:
        """Start everything and return when all is ready.

        Raises:
            StartFailed: something did not start; the rest is stopped again.
        """
        if self.is_up():
            say("already running")
            self._adopt()
            return
        _, was_asked = self._take_down()  # what a crash left of a former run
        if was_asked:
            raise StopAsked
        agent_replicas(self._environment)  # refused before anything is installed
        self._python = self._install()
        for name in ("logs", "redis", "calls"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        try:
            self._start_all()
        except BaseException:
            self.down()
            raise

    def _install(self) -> Path:
        try:
            return install.ensure("local")
        except install.InstallFailed as error:
            raise StartFailed(str(error)) from error

    def _start_all(self) -> None:
        redis = self._start_redis()
        recordings = (self._directory / "recordings").resolve()
        prometheus = self._find_prometheus()
        plan = make_plan(
            self._environment,
            redis=redis,
            free_port=free_port,
            prometheus_url=_local_url(prometheus[1]) if prometheus else "",
            recordings=str(recordings),
        )
        for program in plan.programs:
            for port in program.ports:
                _refuse_taken_port(port, program.name)
        started = [(self._start_program(program), program) for program in plan.programs]
        for process, program in started:
            self._wait_ready(process, http_probe(program.ready_url))
        self._addresses = list(plan.addresses)
        if prometheus:
            self._start_prometheus(plan, *prometheus)
        self._write_state()

    def _start_redis(self) -> dict[str, str]:
        if self._environment.get("REDIS_URL"):
            try:
                place = redis_place(self._environment["REDIS_URL"])
            except BadRedisUrl as error:
                raise StartFailed(f"REDIS_URL: {error}") from error
            say(f"using the Redis of REDIS_URL, {place}")
            return {}
        try:
            executable = install.ensure_redis_server()
        except install.InstallFailed as error:
            raise StartFailed(str(error)) from error
        redis = EmbeddedRedis(
            executable, self._directory / "redis", password=secrets.token_urlsafe(24)
        )
        process = self._record("redis", redis.start)
        self._wait_ready(process, lambda: None if redis.answers() else "no answer to PING")
        return {"REDIS_URL": redis.url, "REDIS_PASSWORD": redis.password}

    def _start_program(self, program: Program) -> Running:
        def start(log: IO[bytes]) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [str(self._python), "-m", program.module, *program.arguments],
                cwd=install.ROOT,
                env={**self._environment, "PYTHONUNBUFFERED": "1", **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C is for us; we stop them in order
            )

        return self._record(program.name, start)

    def _find_prometheus(self) -> tuple[str, Port] | None:
        executable = which("prometheus")
        if executable is None:
            say("Prometheus is left out: there is no `prometheus` on the PATH")
            return None
        port = Port(_PROMETHEUS_PORT, "PROMETHEUS_PUBLISHED_PORT")
        if given := self._environment.get(port.setting):
            port = Port(int(given), port.setting)
        _refuse_taken_port(port, "prometheus")
        return executable, port

    def _start_prometheus(self, plan: Plan, executable: str, port: Port) -> None:
        directory = self._directory / "prometheus"
        directory.mkdir(exist_ok=True)
        configuration = directory / "prometheus.yml"
        configuration.write_text(local_configuration(plan, rules=install.ROOT / "deploy"))
        url = _local_url(port)
        command = [executable, f"--config.file={configuration}"]
        command += [f"--storage.tsdb.path={directory / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{port.number}"]

        def start(log: IO[bytes]) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        process = self._record("prometheus", start)
        self._wait_ready(process, http_probe(f"{url}/-/ready"))
        self._addresses.append(Address("prometheus", url))

    def _record(self, name: str, start: Callable[[IO[bytes]], subprocess.Popen[bytes]]) -> Running:
        path = self._directory / "logs" / f"{name}.log"
        with path.open("wb") as log:
            child = start(log)
        process = Running(name, child.pid, began(child.pid) or "", str(path))
        self._children[child.pid] = child
        self._running.append(process)
        self._write_state()
        return process

    def _write_state(self) -> None:
        addresses = tuple((address.what, address.url) for address in self._addresses)
        self._states.write(State(self.mode, tuple(self._running), addresses))

    def _wait_ready(self, process: Running, probe: Probe) -> None:
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        while (missing := probe()) is not None:
            if ended := next(filter(self._has_ended, self._running), None):
                self._show_log(ended)
                raise StartFailed(f"{ended.name} ended while starting; its log is above")
            if time.monotonic() > deadline_s:
                self._show_log(process)
                raise StartFailed(
                    f"{process.name} was not ready after {_READY_TIMEOUT_S:.0f} s ({missing})"
                )
            time.sleep(_POLL_S)

    def _has_ended(self, process: Running) -> bool:
        child = self._children.get(process.pid)
        return child.poll() is not None if child else not process.is_alive

    def _show_log(self, process: Running) -> None:
        complain(f"the last lines of {process.log}:")
        for line in _tail(Path(process.log), _LOG_LINES_SHOWN):
            print(f"  {line}", file=sys.stderr)

    def _adopt(self) -> None:
        state = self._states.read()
        if state is not None and state.mode == self.mode:
            self._running = list(state.processes)
            self._addresses = [Address(what, url) for what, url in state.addresses]

    def addresses(self) -> Sequence[Address]:
        """Where things are, for people."""
        self._adopt()
        return self._addresses

    def status(self) -> Iterator[str]:
        """One line a process."""
        self._adopt()
        for process in self._running:
            state = "running" if process.is_alive else "ended"
            yield f"{process.name:<12} {state:<8} {process.pid}"

    def down(self) -> bool:
        """Stop what runs: ask, let calls finish, cut, kill. Returns whether anything ran.

        A stop signal while calls finish cuts them.
        """
        did_run, _ = self._take_down()
        return did_run

    def _take_down(self) -> tuple[bool, bool]:
        """Return whether anything ran, and whether a stop signal came meanwhile."""
        self._adopt()
        alive = [process for process in self._running if not self._has_ended(process)]
        # Redis last and alone: the others write their farewells to it.
        was_asked = False
        for group in (
            [process for process in alive if process.name != "redis"],
            [process for process in alive if process.name == "redis"],
        ):
            if group:
                was_asked |= self._stop(group)
        self._running.clear()
        self._states.forget()
        return bool(alive), was_asked

    def _stop(self, processes: Sequence[Running]) -> bool:
        """Return whether a stop signal came before all had ended."""
        was_asked = False
        try:
            self._signal(processes, signal.SIGTERM)
            if self._all_end(processes, self._drain_s()):
                return False
            complain("calls did not finish in time: cutting them")
        except StopAsked:
            was_asked = True
            complain("asked again: cutting calls in progress")
        self._signal(processes, signal.SIGTERM)  # the second one means: at once
        if self._all_end(processes, _CUT_GRACE_S):
            return was_asked
        for process in processes:
            if not self._has_ended(process):
                complain(f"{process.name} did not stop by itself and is killed")
        self._signal(processes, signal.SIGKILL)
        self._all_end(processes, _CUT_GRACE_S)
        return was_asked

    def _drain_s(self) -> float:
        given = [
            float(self._environment.get(name) or _DRAIN_DEFAULT_S)
            for name in ("AGENT_DRAIN_S", "GATEWAY_DRAIN_S")
        ]
        return max(given) + _CUT_GRACE_S

    def _signal(self, processes: Sequence[Running], number: signal.Signals) -> None:
        for process in processes:
            if not self._has_ended(process) and process.is_alive:
                with suppress(ProcessLookupError):  # it ended between the look and the signal
                    os.kill(process.pid, number)

    def _all_end(self, processes: Sequence[Running], timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        while not all(self._has_ended(process) for process in processes):
            if time.monotonic() > deadline_s:
                return False
            time.sleep(_POLL_S)
        return True

    def demonstrate(self, arguments: Sequence[str]) -> int:
        """Play one call through the simulator's command line; its exit status."""
        gateway = next(a.url for a in self.addresses() if a.what == "gateway")
        command = [str(self._python), "-m", "services.simulator", "call", *arguments]
        command += [*caller_urls(gateway, self._environment)]
        command += ["--out", str(self._directory / "calls" / "demonstration")]
        return subprocess.run(
            command,
            cwd=install.ROOT,
            env=dict(self._environment),
            stdin=subprocess.DEVNULL,
            timeout=_CALL_TIMEOUT_S,
            check=False,
        ).returncode

    def follow_logs(self) -> None:
        """Print what the processes write from now on, until a stop signal or the end of one.

        Raises:
            StartFailed: a process ended by itself.
        """
        self._adopt()
        with ExitStack() as stack:
            logs = {
                process.name: stack.enter_context(Path(process.log).open("rb"))
                for process in self._running
            }
            for log in logs.values():
                log.seek(0, os.SEEK_END)
            while True:
                for name, log in logs.items():
                    for line in log.readlines():
                        text = line.decode("utf-8", "replace").rstrip()
                        say(f"{name:<10} | {text}")
                for process in self._running:
                    if self._has_ended(process):
                        self._show_log(process)
                        raise StartFailed(f"{process.name} ended by itself; its log is above")
                time.sleep(_POLL_S)


def _local_url(port: Port) -> str:
    return f"http://127.0.0.1:{port.number}"


def _refuse_taken_port(port: Port, name: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port.number))
        except OSError as error:
            if error.errno == errno.EACCES:
                raise StartFailed(f"port {port.number} ({name}) needs more rights") from error
            if error.errno != errno.EADDRINUSE:
                raise
            raise StartFailed(port.taken(name)) from error


def _tail(path: Path, lines: int) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return []
