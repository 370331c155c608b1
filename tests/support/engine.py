"""Whether a container engine answers here, and has or can get an image."""

from __future__ import annotations

import subprocess
from functools import cache

REDIS_IMAGE = "redis:8.0"
PYTHON_IMAGE = "python:3.13-slim-trixie"
PROMETHEUS_IMAGE = "prom/prometheus:v2.53.3"


def docker(*arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run the docker command line and return what it said; a failure is the caller's to judge."""
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
    )


@cache
def why_no_engine(*images: str) -> str | None:
    """None when container tests can run, else the reason to name beside the skipped test."""
    try:
        if docker("info", timeout_s=20).returncode != 0:
            return "no container engine answers (docker info)"
        if docker("compose", "version", timeout_s=20).returncode != 0:
            return "the engine has no docker compose"
    except (OSError, subprocess.TimeoutExpired):
        return "no container engine answers (no docker command)"
    for image in images:
        if docker("image", "inspect", image).returncode == 0:
            continue
        if docker("pull", "--quiet", image, timeout_s=300).returncode != 0:
            return f"the engine has no image {image} and cannot pull it"
    return None
