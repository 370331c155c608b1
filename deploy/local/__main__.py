"""`python -m deploy.local run|up|down|status|logs`: the platform on this machine.

Docker Compose where an engine answers, local processes otherwise; PARLEY_MODE=compose|processes
decides it by hand. Needs nothing but Python: what the processes need is installed into .venv.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.local import compose, install
from deploy.local.compose import ComposePlatform
from deploy.local.console import StartFailed, StopAsked, complain, say, stop_signals
from deploy.local.plan import BadSetting, is_public, parse_env_file
from deploy.local.processes import ProcessPlatform

Platform = ComposePlatform | ProcessPlatform

# The caller of the demonstration: asks, is answered, asks again, cuts the answer short.
_DEMONSTRATION = (
    *("--say", "How does this work?"),
    *("--say", "What can you do?"),
    *("--say", "Goodbye."),
    *("--barge-in-at", "turn,turn,2.5"),
)


def main() -> int:
    """Do what the command line says; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    parser.add_argument("command", choices=["run", "up", "down", "status", "logs"])
    command = parser.parse_args().command
    environment = _environment()
    directory = Path(environment.get("PARLEY_STATE_DIR") or install.ROOT / ".parley").absolute()
    with stop_signals():
        try:
            if command in ("run", "up"):
                platform = _choose(directory, environment)
                return _run(platform, environment) if command == "run" else _up(platform)
            return _of_running(command, directory, environment)
        except (StartFailed, BadSetting) as error:
            complain(str(error))
            return 1
        except StopAsked:
            if command != "run":
                return 130
            say("stopped")  # before anything was started
            return 0


def _environment() -> Mapping[str, str]:
    try:
        from_file = parse_env_file((install.ROOT / ".env").read_text())
    except FileNotFoundError:
        from_file = {}
    return {**from_file, **os.environ}


def _choose(directory: Path, environment: Mapping[str, str]) -> Platform:
    wanted = environment.get("PARLEY_MODE") or "auto"
    if wanted not in ("auto", "compose", "processes"):
        raise BadSetting(f"PARLEY_MODE must be auto, compose or processes, not {wanted!r}")
    missing = _why_not_compose(environment)
    if missing is None:
        say("mode: Docker Compose, because an engine answers")
        return ComposePlatform(directory, environment)
    if wanted == "compose":
        raise StartFailed(f"PARLEY_MODE=compose, but {missing}")
    say(f"mode: local processes with an embedded Redis, because {missing}")
    return ProcessPlatform(directory, environment)


def _why_not_compose(environment: Mapping[str, str]) -> str | None:
    is_unwanted = environment.get("PARLEY_MODE") == "processes"
    return "PARLEY_MODE=processes" if is_unwanted else compose.why_not()


def _up(platform: Platform) -> int:
    started_s = time.monotonic()
    platform.up()
    say(f"ready after {time.monotonic() - started_s:.0f} s:")
    for address in platform.addresses():
        say(f"  {address.what:<12} {address.url}")
        if address.what == "gateway":
            # By this name browsers give a page the microphone without a certificate.
            console = address.url.replace("127.0.0.1", "localhost")
            say(f"  {'console':<12} {console}/console   <- talk to it here")
    say("stop with `make down`, look with `make status` and `make logs`")
    return 0


def _run(platform: Platform, environment: Mapping[str, str]) -> int:
    try:
        _up(platform)
        status = 0
        if is_public(environment):
            say("no demonstration call: the gateway is public and believes Vobiz alone; call it")
        else:
            say("\na demonstration call, from the caller's side:")
            status = platform.demonstrate(_DEMONSTRATION)
        if status != 0:
            complain(f"the demonstration call failed (exit status {status})")
        elif not environment.get("RUN_ONCE"):
            say("\nfollowing the logs; Ctrl-C stops everything")
            platform.follow_logs()
    except StopAsked:
        status = 0
    finally:
        say("stopping")
        platform.down()
        say("stopped")
    return status


def _of_running(command: str, directory: Path, environment: Mapping[str, str]) -> int:
    processes = ProcessPlatform(directory, environment)
    platform: Platform = processes
    if not processes.has_left_over() and _why_not_compose(environment) is None:
        platform = ComposePlatform(directory, environment)
    if command == "down":
        say("stopped" if platform.down() else "nothing was running")
        return 0
    lines = list(platform.status())
    if not lines:
        say("nothing is running")
        return 1
    if command == "logs":
        try:
            platform.follow_logs()
        except StopAsked:
            return 0
    for line in lines:
        say(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
