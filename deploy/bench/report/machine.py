"""What the figures were measured on: processor, system, versions."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

_PACKAGES = (
    "msgspec",
    "numpy",
    "onnxruntime",
    "pybase64",
    "soxr",
    "uvicorn",
    "uvloop",
    "websockets",
)
COUNTED_PACKAGES = ("msgspec", "numpy", "onnxruntime", "pybase64", "soxr")
"""Those that a frame's steps run through."""


def describe() -> dict[str, object]:
    """Return what stands beside every result."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version_of(name) for name in _PACKAGES},
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def in_words(machine: dict[str, object]) -> str:
    """Return it as one line, for a table's foot or a plot's title."""
    return (
        f"{machine['cores']} cores of {machine['processor']}, {machine['system']},"
        f" Python {machine['python']}, {machine['measured_at']}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)


def version_of(package: str) -> str:
    """Return a package's version; `-` where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "-"
