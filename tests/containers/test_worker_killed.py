"""Workers are killed, frozen, cut off and asked to go under calls: their callers hear it all, once.

Long, so it is run by `make soak`. KILL_CALLS says how many calls there are at once.
"""

from __future__ import annotations

import difflib
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.containers.test_compose import ROOT, Stack
from tests.support.engine import docker
from tests.support.story import CALLER, GOODBYE, GREETING, OPENING, STORY, Ends, Told, storyteller

pytestmark = [pytest.mark.containers, pytest.mark.soak, pytest.mark.timeout(1200)]

CALLS = int(os.environ.get("KILL_CALLS", "40"))
ROUNDS, FIRST_S, BETWEEN_S = 5, 15.0, 13.0
FIGURES = ROOT / ".parley" / "workers_lost.json"
FILLER = "One moment, please."
"""Said where forty goodbyes at once have to wait for their recognition."""
Act = Callable[[Stack, str], None]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("calls"))
    agents = tmp_path_factory.mktemp("agents")
    (agents / "default.yaml").write_text(yaml.safe_dump(storyteller()))
    agents.chmod(0o755)  # it is read by another user, in the container
    # A container comes back under its old address in a network with a subnet of its own alone.
    networks = tmp_path_factory.mktemp("networks") / "subnet.yml"
    subnet = {"default": {"ipam": {"config": [{"subnet": "10.213.0.0/24"}]}}}
    networks.write_text(yaml.safe_dump({"networks": subnet}))
    stack.environment |= {
        "AGENT_FILES": str(agents),
        "AGENT_DRAIN_S": "1",
        "COMPOSE_FILE": f"docker-compose.yml{os.pathsep}{networks}",
    }
    try:
        stack.compose("build", "--quiet", timeout_s=600)
        stack.compose("up", "--detach", "--wait", "--wait-timeout", "90", "--scale", "agent=3")
        yield stack
    finally:
        (stack.calls / "logs.txt").write_text(stack.compose("logs", "--no-color"))
        stack.compose("down", "--volumes", "--rmi", "local", "--timeout", "5", timeout_s=120)


def _play(stack: Stack, name: str, calls: int, trouble: Callable[[], None]) -> list[Told]:
    """Have so many callers listen to the story while there is trouble."""
    folder = stack.calls / name
    with ThreadPoolExecutor(1) as beside:
        made = beside.submit(trouble)
        stack.simulate(
            *("load", "--calls", str(calls), "--over", "3", "--out", str(folder), "--keep", "all"),
            *CALLER,
        )
        made.result(timeout=60)
    return [Told.read(file, _record(stack, file)) for file in folder.glob("*/report.json")]


def _record(stack: Stack, file: Path) -> Any:
    url = f"{stack.gateway}/calls/{json.loads(file.read_text())['call_uuid']}"
    return httpx.get(url, timeout=10, trust_env=False).json()


@pytest.fixture(scope="module")
def undisturbed(stack: Stack) -> Told:
    (told,) = _play(stack, "undisturbed", 1, lambda: None)
    assert told.said == [GREETING, OPENING, *STORY, GOODBYE]
    return told


def _do(*arguments: str) -> None:
    """Run the docker command line; trouble that was not made proves nothing."""
    done = docker(*arguments)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"


def _kill(_stack: Stack, container: str) -> None:
    _do("kill", "--signal", "KILL", container)
    _do("start", container)


def _freeze(_stack: Stack, container: str) -> None:
    _do("pause", container)
    time.sleep(5.0)
    _do("unpause", container)


def _cut_off(stack: Stack, container: str) -> None:
    """Take a worker off the network, so that no packet says it is gone; bring it back."""
    network = f"{stack.project}_default"
    wanted = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
    address = docker("inspect", "--format", wanted, container).stdout.strip()
    _do("network", "disconnect", network, container)
    time.sleep(5.0)
    _do("network", "connect", "--ip", address, "--alias", "agent", network, container)


def _ask_to_go(_stack: Stack, container: str) -> None:
    _do("stop", "--time", "20", container)
    _do("start", container)


def _note(name: str, figures: dict[str, Any]) -> None:
    """Keep figures for people: silence beyond the pauses of speech, longest of each call."""
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps({**known, name: figures}, indent=1))


@pytest.mark.parametrize(
    ("act", "most_s"),
    [(_kill, 1.0), (_freeze, 2.5), (_cut_off, 2.5), (_ask_to_go, 0.5)],
    ids=["killed", "frozen", "cut_off", "asked_to_go"],
)
def test_callers_hear_every_sentence_whatever_happens_to_workers(
    stack: Stack, undisturbed: Told, act: Act, most_s: float
) -> None:
    def trouble() -> None:
        time.sleep(FIRST_S)
        for turn in range(ROUNDS):
            act(stack, stack.containers("agent")[turn % 3])
            time.sleep(BETWEEN_S)

    told = _play(stack, act.__name__, CALLS, trouble)
    ends = Ends.of(undisturbed)
    gaps_s = sorted(round(one.longest_gap_s - undisturbed.longest_gap_s, 2) for one in told)
    heard = [ends.times_heard(one) for one in told]
    p95_s = gaps_s[int(0.95 * (len(gaps_s) - 1))]
    figures = {
        "calls": len(told),
        "broken": [one.report["failures"] for one in told if not one.report["ok"]],
        "skipped": sum(times.count(0) for times in heard),
        "twice": sum(sum(one > 1 for one in times) for times in heard),
        "misremembered": [wrong for one in told if (wrong := _misremembered(one))],
        "silence_s": gaps_s,
    }
    _note(act.__name__, figures)
    assert (len(told), figures["broken"]) == (CALLS, [])
    assert (figures["skipped"], figures["twice"], figures["misremembered"]) == (0, 0, [])
    assert p95_s <= most_s


def _misremembered(told: Told) -> list[str]:
    """How the record differs from the whole call as heard, with the number that was keyed."""
    wanted = [GREETING, OPENING, *STORY, GOODBYE]
    said = [sentence for sentence in told.said if sentence != FILLER]
    return [line for line in difflib.ndiff(wanted, said) if line[0] in "+-"]
