"""A tool that a test holds the strings of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.agent.providers.base import ToolSpec
from services.agent.tools.base import ToolContext, ToolResult


@dataclass
class FakeTool:
    """Answers as it is told to, when it is told to."""

    name: str = "look_up"
    acts: bool = False
    timeout_s: float = 5.0
    filler: str | None = None
    result: ToolResult = field(default_factory=lambda: ToolResult("nine to five"))
    gate: asyncio.Event | None = None
    used: list[Mapping[str, Any]] = field(default_factory=list)
    contexts: list[ToolContext] = field(default_factory=list)
    finished: int = 0
    cancelled: int = 0

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(self.name, "Looks things up.", {"type": "object", "properties": {}})

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        self.used.append(arguments)
        self.contexts.append(context)
        try:
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.finished += 1
        return self.result

    async def aclose(self) -> None:
        pass
