"""What the commands `chat` and `eval` need of the rest: an agent's file, its brain, its tools."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from services.agent.agents.file import AgentFile
from services.agent.providers.base import Brain
from services.agent.tools.toolbox import ToolBox

OpenBrain: TypeAlias = Callable[[AgentFile, ToolBox], AbstractAsyncContextManager[Brain]]


@dataclass(frozen=True, slots=True)
class AgentSource:
    """Where agents come from.

    Attributes:
        load: reads a file; a bad one is a ValueError whose text says what is wrong with it.
        open_tools: makes an agent's tools; ToolUnusable, a ValueError, says why it cannot.
        open_brain: makes an agent's brain with these tools, by flow where no model has a key, and
            frees it at the end. Raises ProviderUnavailable.
    """

    load: Callable[[Path], AgentFile]
    open_tools: Callable[[AgentFile], ToolBox]
    open_brain: OpenBrain
