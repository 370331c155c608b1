"""Workers are killed, frozen and asked to go under calls: their callers hear every sentence, once.

Long, so it is run by `make soak`. KILL_CALLS says how many calls there are at once.
"""

from __future__ import annotations

import json
import os
import threading
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from services.simulator.person.speech_span import STEP_SAMPLES, step_levels_dbfs
from tests.containers.test_compose import ROOT, Stack
from tests.support.engine import docker

pytestmark = [pytest.mark.containers, pytest.mark.soak, pytest.mark.timeout(1200)]

CALLS = int(os.environ.get("KILL_CALLS", "20"))
ROUNDS, BETWEEN_S = 2, 14.0
SENTENCES = [
    f"This is sentence number {number} of a long story."
    for number in (
        *("one", "two", "three", "four", "five", "six", "seven"),
        *("eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    )
]
FIGURES = ROOT / ".parley" / "workers_lost.json"
_AUDIBLE_DBFS = -50.0
_STEP_S = STEP_SAMPLES / 8000


@dataclass(frozen=True)
class Told:
    """One call: what its caller heard of the story, and its record."""

    heard: NDArray[np.int16]
    report: dict[str, Any]
    record: dict[str, Any]

    @property
    def _loud_s(self) -> NDArray[np.floating[Any]]:
        return np.flatnonzero(step_levels_dbfs(self.heard) > _AUDIBLE_DBFS) * _STEP_S

    @property
    def longest_gap_s(self) -> float:
        """The longest silence of the agent between its first and its last sound."""
        return float(np.diff(self._loud_s).max())

    @property
    def speech_s(self) -> float:
        """How long the agent was heard in all."""
        return len(self._loud_s) * _STEP_S

    @property
    def sentences(self) -> list[str]:
        """The story as its record has it."""
        said = " ".join(e["text"] for e in self.record["transcript"] if e["who"] == "agent")
        return [f"{part.strip()}." for part in said.split(".") if "sentence number" in part]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("calls"))
    agents = tmp_path_factory.mktemp("agents")
    goodbye = {"phrases": ["goodbye"], "say": "Thanks and goodbye.", "then": "hang_up"}
    agent = {
        "greeting": " ".join(SENTENCES),
        "prompt": "Tell a story.",
        "providers": {"stt": ["offline"], "llm": ["offline"], "tts": ["offline"]},
        "greeting_interruptible": False,
        "flow": {
            "steps": {"menu": {"prompt": "What else?", "intents": {}}},
            "common": {"bye": goodbye},
        },
    }
    (agents / "default.yaml").write_text(yaml.safe_dump(agent))
    agents.chmod(0o755)  # it is read by another user, in the container
    stack.environment |= {"AGENT_FILES": str(agents), "AGENT_DRAIN_S": "1"}
    try:
        stack.compose("build", "--quiet", timeout_s=600)
        stack.compose("up", "--detach", "--wait", "--wait-timeout", "90", "--scale", "agent=3")
        yield stack
    finally:
        stack.compose("down", "--volumes", "--rmi", "local", "--timeout", "5", timeout_s=120)


def _play(stack: Stack, name: str, calls: int, trouble: Callable[[], None]) -> list[Told]:
    """Have so many callers listen to the story while there is trouble."""
    folder = stack.calls / name
    beside = threading.Thread(target=trouble)
    beside.start()
    stack.simulate(
        *("load", "--calls", str(calls), "--over", "2", "--out", str(folder), "--keep", "all"),
        *("--say", "Goodbye.", "--turn-silence", "3", "--patience", "100", "--linger", "6"),
    )
    beside.join(60)
    return [_told(stack, report) for report in folder.glob("*/report.json")]


def _told(stack: Stack, file: Path) -> Told:
    report = json.loads(file.read_text())
    with wave.open(str(file.parent / "handset.wav")) as recording:
        frames = np.frombuffer(recording.readframes(recording.getnframes()), np.int16)
    url = f"{stack.gateway}/calls/{report['call_uuid']}"
    record = httpx.get(url, timeout=10, trust_env=False).json()
    return Told(frames.reshape(-1, 2)[:, 1], report, record)


@pytest.fixture(scope="module")
def undisturbed(stack: Stack) -> Told:
    (told,) = _play(stack, "undisturbed", 1, lambda: None)
    assert told.sentences == SENTENCES
    return told


def _each_round(stack: Stack, act: Callable[[str], None]) -> Callable[[], None]:
    def trouble() -> None:
        time.sleep(8.0)
        for turn in range(ROUNDS):
            act(stack.containers("agent")[turn])
            time.sleep(BETWEEN_S)

    return trouble


def _kill(container: str) -> None:
    docker("kill", "--signal", "KILL", container)
    docker("start", container)


def _freeze(container: str) -> None:
    docker("pause", container)
    time.sleep(5.0)
    docker("unpause", container)


def _ask_to_go(container: str) -> None:
    docker("stop", "--time", "20", container)
    docker("start", container)


def _note(name: str, figures: dict[str, Any]) -> None:
    """Keep figures for people: silence beyond the pauses of speech, and what was said again."""
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps({**known, name: figures}, indent=1))


@pytest.mark.parametrize(
    ("act", "most_s"),
    [(_kill, 1.0), (_freeze, 2.5), (_ask_to_go, 0.5)],
    ids=["killed", "frozen", "asked_to_go"],
)
def test_callers_hear_every_sentence_whatever_happens_to_workers(
    stack: Stack, undisturbed: Told, act: Callable[[str], None], most_s: float
) -> None:
    told = _play(stack, act.__name__, CALLS, _each_round(stack, act))
    gaps_s = sorted(one.longest_gap_s - undisturbed.longest_gap_s for one in told)
    extra_s = [one.speech_s - undisturbed.speech_s for one in told]
    p95_s = gaps_s[int(0.95 * (len(gaps_s) - 1))]
    _note(act.__name__, {"calls": len(told), "silence_s": gaps_s, "heard_more_s": extra_s})
    assert len(told) == CALLS
    assert [one.report["failures"] for one in told if not one.report["ok"]] == []
    assert [one.sentences for one in told if one.sentences != SENTENCES] == []
    assert p95_s <= most_s
    sentence_s = undisturbed.speech_s / len(SENTENCES)
    assert min(extra_s) > -0.5 * sentence_s, "a sentence was skipped"
    assert max(extra_s) < ROUNDS * sentence_s, "a sentence was heard twice"
