"""What holds for every test: nothing running or open is left, markers kept, skips accounted for."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import shutil
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path

import pytest

from shared.runtime.settings import ServiceSettings
from tests.support.browser import why_no_browser
from tests.support.engine import why_no_engine
from tests.support.lanes import LANES, lane_of
from tests.support.machine import Machine

# Nothing is left to reap when each container is stopped by the fixture that started it.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
# Settings of this machine's user must not colour a test.
_FOREIGN = (
    *("VOBIZ_", "GATEWAY_", "AGENT_", "DIALER_", "SIMULATOR_", "REDIS_", "PARLEY_", "LOG_"),
    *("DEEPGRAM_", "OPENAI_", "CONSOLE_", "OTEL_"),
    *("PUBLIC_URL", "NGROK_AUTH_TOKEN", "HTTP_PORT", "FROM_NUMBER", "TO_NUMBER", "RUN_ONCE"),
)
for _name in [name for name in os.environ if name.startswith(_FOREIGN)]:
    del os.environ[_name]
ServiceSettings.model_config["env_file"] = None

pytest_plugins = ["tests.support.redis_server"]

_TESTS = Path(__file__).resolve().parent
_LEAK_GRACE_S = 1.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--strict-skips",
        action="store_true",
        help="a skipped test fails the run, unless it needs a tool that is not here",
    )
    parser.addoption(
        "--lane",
        choices=[lane.name for lane in LANES],
        help="only tests that run in this lane, one of those of `python -m tests`",
    )
    parser.addoption(
        "--machine",
        type=Path,
        help="a folder by which lanes give way to a test that is to be alone",
    )


def _is_elsewhere(path: Path, config: pytest.Config) -> bool:
    """Whether a file is for another lane than the one asked for."""
    asked = config.getoption("--lane")
    file = path.relative_to(_TESTS).as_posix() if path.is_relative_to(_TESTS) else ""
    return asked is not None and lane_of(file).name != asked


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path.is_file() and _is_elsewhere(collection_path, config) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # A file named on the command line is collected whatever its lane.
    items[:] = [item for item in items if not _is_elsewhere(item.path, config)]
    _skip_without_tools(items)
    if "soak" not in config.getoption("markexpr", ""):
        soaks = [item for item in items if item.get_closest_marker("soak")]
        if soaks:
            config.hook.pytest_deselected(items=soaks)
            items[:] = [item for item in items if not item.get_closest_marker("soak")]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Before a test's time is counted, others give way to it, or it to them."""
    folder = item.config.getoption("--machine")
    if folder is None:
        return (yield)
    with Machine(folder).held(is_alone=item.get_closest_marker("alone") is not None):
        return (yield)


def _why_no_kubectl() -> str | None:
    return None if shutil.which("kubectl") else "no kubectl here to render the manifests"


def _why_no_compiler() -> str | None:
    return None if shutil.which("cc") else "no C compiler here to build the load client"


_TOOLS: dict[str, Callable[[], str | None]] = {
    "compiler": _why_no_compiler,
    "containers": why_no_engine,
    "kubectl": _why_no_kubectl,
    "browser": why_no_browser,
}
"""By marker: why a test that needs a tool can't run here; None: it can."""


def _skip_without_tools(items: list[pytest.Item]) -> None:
    for marker, why_not in _TOOLS.items():
        needy = [item for item in items if item.get_closest_marker(marker)]
        reason = why_not() if needy else None
        if reason is not None:
            for item in needy:
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not terminalreporter.config.getoption("--strict-skips"):
        return
    for report in _unexcused(terminalreporter):
        terminalreporter.write_line(f"--strict-skips: {report.nodeid} was skipped", red=True)


def pytest_collection_finish() -> None:
    """Nine thousand collected tests are not looked through again while one of them measures."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--strict-skips") and reporter and _unexcused(reporter):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def _unexcused(reporter: pytest.TerminalReporter) -> list[pytest.TestReport]:
    skipped: list[pytest.TestReport] = reporter.stats.get("skipped", [])
    return [
        report
        for report in skipped
        if not any(m in report.keywords and why_not() for m, why_not in _TOOLS.items())
    ]


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> None:
    """An async test ends with no task running and no socket or pipe open that it began."""
    function = getattr(request.node, "function", None)
    if inspect.iscoroutinefunction(inspect.unwrap(function) if function else None):
        request.getfixturevalue("_no_async_leaks")


@pytest.fixture
async def _no_async_leaks() -> AsyncIterator[None]:
    tasks_before, files_before = asyncio.all_tasks(), _open_sockets_and_pipes()
    yield
    # Closed transports let go of their socket on a later turn of the loop.
    deadline_s = asyncio.get_running_loop().time() + _LEAK_GRACE_S
    while True:
        current = asyncio.current_task()
        tasks = {task for task in asyncio.all_tasks() - tasks_before if task is not current}
        files = _open_sockets_and_pipes() - files_before
        if not tasks and not files:
            return
        if asyncio.get_running_loop().time() > deadline_s:
            break
        await asyncio.sleep(0.01)
    names = sorted(task.get_name() + ": " + repr(task.get_coro()) for task in tasks)
    pytest.fail(f"left behind: tasks {names}, files {sorted(files)}")


def _open_sockets_and_pipes() -> set[str]:
    """What this process holds of them, by inode; empty where /proc does not tell."""
    found = set()
    try:
        descriptors = os.listdir("/proc/self/fd")
    except FileNotFoundError:
        return set()
    for descriptor in descriptors:
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:  # the one that listed the directory is closed by now
            continue
        if target.startswith(("socket:", "pipe:")):  # a pipe: a child process was left
            found.add(target)
    return found
