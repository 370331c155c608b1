"""What guards every run of tests, tried on runs of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).resolve().parents[2]


def _outcome(tmp_path: Path, body: str, *arguments: str, of: str = "pytest") -> str:
    test = tmp_path / "test_inner.py"
    test.write_text("import asyncio, pytest, socket\n" + body)
    options = ["-q", "-p", "tests.conftest", "--rootdir", str(tmp_path)]
    run = subprocess.run(
        [sys.executable, "-m", of, *options, "-c", str(ROOT / "pyproject.toml"), *arguments, test],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=110,
        check=False,
    )
    return run.stdout + run.stderr + f"exit {run.returncode}"


def test_a_leaked_task_fails_the_test(tmp_path: Path) -> None:
    body = """
async def test_leaks():
    test_leaks.task = asyncio.get_running_loop().create_task(asyncio.sleep(60), name="stray")
"""
    assert "left behind: tasks ['stray" in _outcome(tmp_path, body)


def test_a_leaked_socket_fails_the_test(tmp_path: Path) -> None:
    body = """
async def test_leaks():
    test_leaks.socket = socket.socket()
"""
    said = _outcome(tmp_path, body)
    assert "left behind: tasks [], files ['socket:[" in said


def test_a_leaked_child_process_fails_the_test(tmp_path: Path) -> None:
    body = """
async def test_leaks():
    pipe = asyncio.subprocess.PIPE
    test_leaks.child = await asyncio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe)
"""
    assert "left behind" in _outcome(tmp_path, body)


def test_a_tidy_test_passes(tmp_path: Path) -> None:
    body = """
async def test_tidy():
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    server.close()
    await server.wait_closed()
"""
    assert _outcome(tmp_path, body).endswith("exit 0")


def test_a_skip_fails_a_strict_run_and_only_that(tmp_path: Path) -> None:
    body = """
@pytest.mark.skip(reason="because")
def test_skipped(): pass
"""
    assert _outcome(tmp_path, body).endswith("exit 0")
    said = _outcome(tmp_path, body, "--strict-skips")
    assert "test_skipped was skipped" in said
    assert said.endswith("exit 1")


def test_a_run_of_all_lanes_fails_where_one_does_and_shows_why(tmp_path: Path) -> None:
    said = _outcome(tmp_path, "def test_broken(): assert 1 == 2", of="tests")
    assert said.count("\nE   assert 1 == 2\n") == 2, "it is run once more, alone"
    assert "\nFAILED " in said
    assert "passed only alone" not in said
    assert "= 1 failed in " in said
    assert said.endswith("exit 1")


def test_what_fails_beside_others_and_passes_alone_is_named(tmp_path: Path) -> None:
    mark = tmp_path / "was-here"
    body = f"""
from pathlib import Path
def test_shy():
    mark = Path({str(mark)!r})
    was_here = mark.exists()
    mark.touch()
    assert was_here
"""
    said = _outcome(tmp_path, body, of="tests")
    assert "\npassed only alone: " in said
    assert "test_shy" in said.split("passed only alone: ")[1]
    assert said.endswith("exit 0")


def test_where_many_fail_none_is_tried_again(tmp_path: Path) -> None:
    body = """
@pytest.mark.parametrize("number", range(6))
def test_broken(number): assert False
"""
    said = _outcome(tmp_path, body, of="tests")
    assert "again, alone" not in said
    assert said.endswith("exit 1")


def test_a_skip_fails_a_strict_run_of_lanes_whatever_else_passes_alone(tmp_path: Path) -> None:
    body = """
@pytest.mark.skip(reason="because")
def test_skipped(): pass
def test_broken(): assert False
"""
    said = _outcome(tmp_path, body, "--strict-skips", of="tests")
    assert "test_skipped was skipped" in said
    assert "again, alone" not in said
    assert said.endswith("exit 1")
