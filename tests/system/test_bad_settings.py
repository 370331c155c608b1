"""Services started with settings that can't work: one line of why, and no more."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

pytestmark = pytest.mark.system


@pytest.mark.parametrize(
    ("service", "url"),
    [
        ("gateway", "redis://:hush@redis:porter/0"),
        ("agent", "redis://:hush@/0"),
        ("dialer", "redis+sentinel://:hush@redis"),
    ],
)
async def test_a_redis_url_that_names_none_ends_the_start_with_one_line(
    service: str, url: str
) -> None:
    """It was a traceback of some forty lines, from inside the client of Redis."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", f"services.{service}"),
        env={"PATH": os.environ["PATH"], "REDIS_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(20):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    heading, fault = err.decode().splitlines()
    assert (process.returncode, out, heading) == (2, b"", "These settings are wrong:")
    assert fault.startswith("  REDIS_URL: ")
    assert "hush" not in fault
