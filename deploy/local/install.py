"""Make .venv hold one locked group of requirements, working only when something changed.

Runs under any Python 3.11-3.13 with nothing installed, so it imports the standard library alone.
Also a command: `python -m deploy.local.install dev`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
_STAMP = VENV / ".parley-installed.json"
_INSTALL_TIMEOUT_S = 900.0

# A group that carries another one whole: who has dev needs no local.
_COVERED_BY = {"local": ("dev",)}


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
    command = [str(VENV_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
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
