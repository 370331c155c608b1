"""All tools of one agent, and how one of them is used."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from services.agent.agents.file import AgentFile, HttpTool, PythonTool
from services.agent.providers.base import Confirmation, ToolCall, ToolSpec, ToolUsed
from services.agent.providers.registry import Secrets
from services.agent.tools.base import Tool, ToolContext, ToolResult, ToolUnusable
from services.agent.tools.builtin import make_builtin
from services.agent.tools.http import HttpRequestTool
from services.agent.tools.python import PythonFunctionTool, ToolThreads, load_function
from services.agent.tools.schema import misfit
from shared.runtime.outbound_http import Resolver, resolve_host

_log = structlog.get_logger(__name__)
_MAX_ARGUMENT_CHARS = 16_000
_MAX_RECORD_CHARS = 1000
_MAX_RESULT_CHARS = 8000
_BROKEN = frozenset({"failed", "timeout"})


class ToolBox:
    """The tools of an agent, shared by its calls.

    Args:
        tools: no two of one name.
        now_s: the clock that uses are measured with.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        *,
        threads: ToolThreads | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            if tool.spec.name in self._tools:
                raise ToolUnusable(f"two tools have the name {tool.spec.name!r}")
            self._tools[tool.spec.name] = tool
        self._threads = threads
        self._now_s = now_s

    @classmethod
    def build(
        cls,
        file: AgentFile,
        secrets: Secrets,
        *,
        python_folder: Path | None = None,
        resolve: Resolver = resolve_host,
    ) -> ToolBox:
        """Make the tools that an agent's file states.

        Args:
            file: the agent.
            secrets: of HTTP tools.
            python_folder: where the modules of Python tools are; None: there are none.
            resolve: looks up the hosts of HTTP tools.

        Raises:
            ToolUnusable: one of them cannot be made; nothing is left open.
        """
        threads = ToolThreads()
        tools: list[Tool] = []
        for declared in file.tools:
            match declared:
                case HttpTool():
                    tools.append(HttpRequestTool(declared, secrets, resolve=resolve))
                case PythonTool():
                    if python_folder is None:
                        raise ToolUnusable(f"{declared.python}: no folder of tools is mounted")
                    function = load_function(declared.python, python_folder)
                    tools.append(PythonFunctionTool(declared, function, threads))
                case str():
                    tools.append(make_builtin(declared, file))
        return cls(tools, threads=threads)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What a model is told."""
        return tuple(tool.spec for tool in self._tools.values())

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The tools themselves."""
        return tuple(self._tools.values())

    def get(self, name: str) -> Tool | None:
        """Return a tool by name."""
        return self._tools.get(name)

    def acts(self, call: ToolCall) -> bool:
        """Whether this call would change the world; one that can't be made does not."""
        tool = self._tools.get(call.name)
        return tool is not None and tool.acts and isinstance(_check(tool, call), dict)

    async def run(
        self, call: ToolCall, context: ToolContext, confirmation: Confirmation
    ) -> tuple[ToolUsed, ToolResult]:
        """Use a tool: check the arguments, wait until it may act, see to its time.

        No fault of a tool is raised. Cancelling the wait for the confirmation, or for a tool that
        only reads, ends it; whoever calls this for one that acts lets it run to its end.
        """
        tool = self._tools.get(call.name)
        if tool is None:
            names = ", ".join(self._tools) or "none"
            result = ToolResult(f"There is no such tool; there are: {names}.", outcome="refused")
            return self._used(call.name, {}, result, 0.0), result
        arguments = _check(tool, call)
        if isinstance(arguments, str):
            result = ToolResult(arguments, outcome="refused")
            return self._used(call.name, _loads(call.arguments) or {}, result, 0.0), result
        if tool.acts:
            await confirmation.wait()
        begun_s = self._now_s()
        result = await self._call(tool, arguments, context)
        took_s = self._now_s() - begun_s
        if result.outcome in _BROKEN:
            took_ms = round(1000 * took_s)
            _log.warning("tool_failed", tool=call.name, outcome=result.outcome, took_ms=took_ms)
        return self._used(call.name, arguments, result, took_s), result

    async def _call(
        self, tool: Tool, arguments: dict[str, Any], context: ToolContext
    ) -> ToolResult:
        try:
            async with asyncio.timeout(tool.timeout_s):
                result = await tool.call(arguments, context)
                return replace(result, text=result.text[:_MAX_RESULT_CHARS])
        except TimeoutError:
            doubt = " Whether it was done is not known." if tool.acts else ""
            return ToolResult(f"The tool did not answer in time.{doubt}", outcome="timeout")
        except Exception as exc:  # noqa: BLE001 - a failed tool is no failed call
            # Without a traceback: its message may hold arguments or a secret.
            _log.error("tool_crashed", tool=tool.spec.name, error=type(exc).__name__)
            return ToolResult("The tool failed.", outcome="failed")

    def _used(
        self, name: str, arguments: Mapping[str, Any], result: ToolResult, seconds: float
    ) -> ToolUsed:
        text = result.text[:_MAX_RECORD_CHARS]
        return ToolUsed(name, arguments, result.outcome, text, round(seconds, 3))

    async def aclose(self) -> None:
        """Free what the tools hold; may be called twice."""
        for tool in self._tools.values():
            await tool.aclose()
        if self._threads is not None:
            self._threads.close()


def _check(tool: Tool, call: ToolCall) -> dict[str, Any] | str:
    """Return the arguments of a call, or one sentence on what is wrong with them."""
    if len(call.arguments) > _MAX_ARGUMENT_CHARS:
        return "The arguments are too long."
    arguments = _loads(call.arguments)
    if arguments is None:
        return "The arguments are not a JSON object."
    return misfit(arguments, tool.spec.parameters) or arguments


def _loads(text: str) -> dict[str, Any] | None:
    """Read arguments; none at all are an empty object, as some models leave them out."""
    try:
        value = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
