"""The bench's programs in C: the load client and the floors, built at first use."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from deploy.local import install

_FOLDER = Path(__file__).resolve().parent
_BUILT = install.ROOT / ".parley" / "bench"
_FLAGS = ("-O2", "-Wall", "-Wextra")


class NoCompiler(Exception):
    """There is no C compiler here, so the load client can't be built."""

    def __str__(self) -> str:
        return (
            "no C compiler (`cc`) on the PATH: left out is all that needs the load client, which is"
            " floors, usual, relay, path, scaling and soak. Install one (Debian, Ubuntu: apt-get"
            " install gcc libc6-dev)."
        )


def program(name: str) -> Path:
    """Return the program made of `<name>.c`, built anew when a source has changed.

    Raises:
        NoCompiler: nothing to build it with.
        RuntimeError: it does not build.
    """
    return _built(name)


def library(name: str) -> Path:
    """Return the shared library made of `<name>.c`, likewise."""
    return _built(name, "-shared", "-fPIC")


def _built(name: str, *further: str) -> Path:
    sources = sorted((*_FOLDER.glob("*.h"), _FOLDER / f"{name}.c"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    built = _BUILT / f"{name}-{digest}"
    if built.exists():
        return built
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoCompiler
    _BUILT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_BUILT) as folder:
        fresh = Path(folder) / name
        command = [compiler, *_FLAGS, *further, "-o", str(fresh), str(_FOLDER / f"{name}.c")]
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if run.returncode != 0:
            raise RuntimeError(f"{name}.c does not build:\n{run.stderr[-2000:]}")
        fresh.replace(built)
    return built
