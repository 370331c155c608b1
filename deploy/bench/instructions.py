"""How many instructions each step of a 20 ms frame takes, counted by valgrind.

Unlike seconds these are nearly the same on a busy machine and an idle one: what a regression check
can compare, with counts of the same Python and packages; they are kept by these. `python -m
deploy.bench.instructions LIBRARY` is the counted process.
"""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.bench.frames import steps
from deploy.bench.native import library
from deploy.bench.report.machine import COUNTED_PACKAGES, version_of
from deploy.local import install

_REPEATS = 200
_WARM_UP = 20
_TIMEOUT_S = 600.0
_NAME = re.compile(r"^desc: Trigger: Client Request: (.+)$", re.MULTILINE)
_TOTAL = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


class NoCounter(Exception):
    """There is no valgrind here, or it can't be told where a step begins."""

    def __str__(self) -> str:
        return (
            "no valgrind with its headers on this machine: instructions are not counted. Install it"
            " (Debian, Ubuntu: apt-get install valgrind)."
        )


def interpreter() -> str:
    """Name what runs the counted code: Python, its compiler, and the instruction set."""
    return f"Python {platform.python_version()}, {platform.python_compiler()}, {platform.machine()}"


def count_set() -> dict[str, dict[str, object]]:
    """Return the counts under the name of what they are counts of, as bench.json keeps them.

    Raises:
        NoCounter, NoCompiler, RuntimeError: as `count_instructions`.
    """
    packages = {name: version_of(name) for name in COUNTED_PACKAGES}
    return {interpreter(): {"packages": packages, "steps": count_instructions()}}


def count_instructions() -> dict[str, int]:
    """Return the instructions for each frame, by step.

    Raises:
        NoCounter: no valgrind here.
        NoCompiler: what marks the steps can't be built.
        RuntimeError: the counted process failed.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise NoCounter
    try:
        marks = library("marks")
    except RuntimeError as error:
        raise NoCounter from error
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        command = [valgrind, "--tool=callgrind", "--instr-atstart=no", "--quiet"]
        command += [f"--callgrind-out-file={folder}/counts", sys.executable]
        run = subprocess.run(
            [*command, "-m", "deploy.bench.instructions", str(marks)],
            cwd=install.ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if run.returncode != 0:
            raise RuntimeError(f"counting instructions failed:\n{run.stderr[-2000:]}")
        return read_counts(Path(folder))


def read_counts(folder: Path) -> dict[str, int]:
    """Return the instructions for each frame, by step, from callgrind's dumps."""
    dumps = sorted(folder.glob("counts.*"), key=lambda path: int(path.suffix[1:]))
    return dict(_read(path) for path in dumps if _is_step(path))


def _is_step(path: Path) -> bool:
    return _NAME.search(path.read_text()) is not None


def _read(path: Path) -> tuple[str, int]:
    text = path.read_text()
    name, total = _NAME.search(text), _TOTAL.search(text)
    assert name is not None  # only such files are read
    assert total is not None  # every dump has a sum
    step, _, frames = name[1].rpartition("/")
    return step, round(int(total[1]) / int(frames))


def _be_counted(marks: str) -> None:
    """Do each step, between marks."""
    counter = ctypes.CDLL(marks)
    gc.disable()
    for step, work, frames in steps():
        for _ in range(_WARM_UP):
            work()
        repeats = max(1, _REPEATS // frames)
        counter.step_begin()
        for _ in range(repeats):
            work()
        counter.step_end(f"{step}/{repeats * frames}".encode())


if __name__ == "__main__":
    _be_counted(sys.argv[1])
