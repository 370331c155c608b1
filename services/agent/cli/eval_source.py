"""What the commands `chat` and `eval` need of the rest: an agent with its tools and its brain."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from services.agent.agents.file import AgentFile
from services.agent.providers.base import Brain
from services.agent.tools.toolbox import ToolBox


@dataclass(frozen=True, slots=True)
class AgentAtHand:
    """An agent that was read from its file.

    Attributes:
        file: what its owner wrote.
        open_tools: makes its tools; ToolUnusable, a ValueError, says why it cannot.
        open_brain: makes its brain with these tools, by flow where no model has a key, and frees
            it at the end. Raises ProviderUnavailable.
    """

    file: AgentFile
    open_tools: Callable[[], ToolBox]
    open_brain: Callable[[ToolBox], AbstractAsyncContextManager[Brain]]


LoadAgent: TypeAlias = Callable[[Path], AgentAtHand]
"""Reads a file; a bad one is a ValueError whose text says what is wrong with it."""
