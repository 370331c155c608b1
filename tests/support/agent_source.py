"""Agents for the commands that talk to one: a file given by the test, a brain given by the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from services.agent.agents.file import AgentFile
from services.agent.cli.eval_source import AgentSource
from services.agent.providers.base import Brain
from services.agent.tools.toolbox import ToolBox


class NoSecrets:
    def get(self, name: str) -> None:
        return None


def source_of(
    make_brain: Callable[[AgentFile, ToolBox], Brain],
    file: AgentFile | None = None,
    tools: ToolBox | None = None,
) -> AgentSource:
    """Return a source of one agent."""

    @asynccontextmanager
    async def open_brain(opened: AgentFile, box: ToolBox) -> AsyncIterator[Brain]:
        yield make_brain(opened, box)

    def load(path: Path) -> AgentFile:
        if file is None:
            raise ValueError(f"{path}: line 3: greeting: not a text")
        return file

    def open_tools(opened: AgentFile) -> ToolBox:
        return tools if tools is not None else ToolBox.build(opened, NoSecrets())

    return AgentSource(load, open_tools, open_brain)
