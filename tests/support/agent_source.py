"""Agents for the commands that talk to one: a file and a brain given by the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from services.agent.agents.file import AgentFile
from services.agent.cli.eval_source import AgentAtHand, LoadAgent
from services.agent.providers.base import Brain
from services.agent.providers.offline.flow import FlowBrain
from services.agent.tools.toolbox import ToolBox
from tests.support.agents import parley_flow


class NoSecrets:
    def get(self, name: str) -> None:
        return None


def source_of(
    make_brain: Callable[[AgentFile, ToolBox], Brain],
    file: AgentFile | None = None,
    tools: ToolBox | None = None,
) -> LoadAgent:
    """Return what loads this agent, whatever the path; without one every file is bad."""

    def load(path: Path) -> AgentAtHand:
        if file is None:
            raise ValueError(f"{path}: line 3: greeting: not a text")

        @asynccontextmanager
        async def open_brain(box: ToolBox) -> AsyncIterator[Brain]:
            yield make_brain(file, box)

        def open_tools() -> ToolBox:
            return tools if tools is not None else ToolBox.build(file, NoSecrets())

        return AgentAtHand(file, open_tools, open_brain)

    return load


def default_agent() -> LoadAgent:
    """Return what loads the agent that works without any key."""
    return source_of(lambda _file, _tools: FlowBrain(parley_flow()), AgentFile())
