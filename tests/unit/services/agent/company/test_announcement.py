from __future__ import annotations

from pathlib import Path

import pytest

from services.agent.agents.file import AgentFile
from services.agent.agents.load import Agent
from services.agent.company.announcement import with_announcement
from tests.support.agents import parley_flow

SAID = "This call is recorded."


def agent(*, has_flow: bool = False, **fields: object) -> Agent:
    recording = {"enabled": True, "announcement": SAID}
    file = AgentFile.model_validate({"recording": recording, **fields})
    return Agent(file, parley_flow() if has_flow else None, "v", Path("agent.yaml"))


def test_it_is_said_before_the_greeting() -> None:
    announced = with_announcement(agent(greeting="Hello."))
    assert announced.file.greeting == f"{SAID} Hello."
    assert announced.file.turn_taking.uninterruptible == (SAID,)


def test_it_is_said_although_there_is_no_greeting() -> None:
    assert with_announcement(agent()).file.greeting == SAID


def test_a_flow_says_it_once() -> None:
    announced = with_announcement(agent(has_flow=True))
    assert announced.flow is not None
    first, *rest = parley_flow().greeting
    assert announced.flow.greeting == (f"{SAID} {first}", *rest)
    assert announced.file.greeting == "", "a model takes the flow's greeting then"


def test_it_is_said_in_every_language_that_greets() -> None:
    announced = with_announcement(agent(languages={"hi": {"greeting": "Namaste."}, "ta": {}}))
    assert announced.file.languages["hi"].greeting == f"{SAID} Namaste."
    assert announced.file.languages["ta"].greeting is None


@pytest.mark.parametrize(
    "recording", [{"enabled": False, "announcement": SAID}, {"enabled": True}, {}]
)
def test_who_records_nothing_or_announces_nothing_stays_as_it_is(
    recording: dict[str, object],
) -> None:
    plain = agent(greeting="Hello.", recording=recording)
    assert with_announcement(plain) is plain
