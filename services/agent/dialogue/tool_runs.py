"""The tool calls of one conversation: what is run, what is not run again, what outlives its reply.

Tools that only read run side by side and are cancelled with the reply that wanted them. A tool that
acts runs in a task of its own that nothing but its timeout ends; a second wish for the same within
a turn, or while it runs, gets the first one's result.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import structlog

from services.agent.dialogue.deeds import Deed
from services.agent.providers.base import Confirmation, ToolCall, ToolUsed
from services.agent.tools.base import ToolContext, ToolResult
from services.agent.tools.toolbox import ToolBox
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
_MAX_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Ran:
    """One call that was answered. `is_repeat`: by the result of an earlier one."""

    call: ToolCall
    used: ToolUsed
    result: ToolResult
    is_repeat: bool = False


OnAct: TypeAlias = Callable[[ToolCall, "Ran | None"], None]
"""Told when a call that acts begins (None) and when it has ended, whatever became of its reply."""

_Task: TypeAlias = asyncio.Task[tuple[ToolUsed, ToolResult]]


class ToolRuns:
    """Runs the calls of one conversation.

    Args:
        toolbox: the agent's tools.
        name: of the call, for tasks and logs.
        finish_s: the longest that the end of the call waits for what acts.
        done: by turn, what another worker has done for it: not done again.
    """

    def __init__(
        self,
        toolbox: ToolBox,
        name: str,
        *,
        finish_s: float = 10.0,
        done: Mapping[str, Sequence[Deed]] | None = None,
    ) -> None:
        self._done = {
            (turn, *deed.wish): deed for turn, deeds in (done or {}).items() for deed in deeds
        }
        self._finish_s = finish_s
        self._toolbox = toolbox
        self._owner = TaskOwner(f"tools:{name}")
        self._acts: dict[tuple[str, str, str], _Task] = {}
        self._running: dict[tuple[str, str], _Task] = {}

    async def run(
        self,
        turn: str,
        calls: Sequence[ToolCall],
        context: ToolContext,
        confirmation: Confirmation,
        on_act: OnAct,
    ) -> list[Ran]:
        """Run the calls of one answer, and return what came of them in their order.

        Args:
            turn: names the caller's turn; the same when the same turn is answered once more.
            calls: those that act are run one after another, once the reply is confirmed.
            context: for the tools.
            confirmation: of the reply.
            on_act: see OnAct.

        Cancelling it cancels the calls that only read and leaves those that act.
        """
        reads: dict[int, _Task] = {}
        ran: dict[int, Ran] = {}
        try:
            for place, call in enumerate(calls):
                if not self._toolbox.acts(call):
                    work = self._toolbox.run(call, context, confirmation)
                    reads[place] = self._owner.start(work, name=call.name)
            for place, call in enumerate(calls):
                if place not in reads:
                    await confirmation.wait()
                    ran[place] = await self._act(turn, call, context, confirmation, on_act)
            for place, task in reads.items():
                used, result = await task
                ran[place] = Ran(calls[place], used, result)
        finally:
            for task in reads.values():
                task.cancel()
        return [ran[place] for place in range(len(calls))]

    async def _act(
        self,
        turn: str,
        call: ToolCall,
        context: ToolContext,
        confirmation: Confirmation,
        on_act: OnAct,
    ) -> Ran:
        wish = (call.name, canonical(call.arguments))
        if (deed := self._done.get((turn, *wish))) is not None:
            return Ran(call, deed.used, _not_again(deed.outcome), is_repeat=True)
        task = self._acts.get((turn, *wish)) or self._running.get(wish)
        is_repeat = task is not None
        if task is None:
            work = self._toolbox.run(call, context, confirmation)
            task = self._owner.start(work, name=call.name)
            self._acts[turn, *wish] = self._running[wish] = task
            while len(self._acts) > _MAX_REMEMBERED:
                del self._acts[next(iter(self._acts))]
            on_act(call, None)
            task.add_done_callback(lambda done: self._on_acted(wish, call, done, on_act))
        used, result = await asyncio.shield(task)
        return Ran(call, used, _not_again(result) if is_repeat else result, is_repeat)

    def _on_acted(self, wish: tuple[str, str], call: ToolCall, task: _Task, on_act: OnAct) -> None:
        self._running.pop(wish, None)
        if not task.cancelled() and task.exception() is None:
            on_act(call, Ran(call, *task.result()))

    async def aclose(self) -> None:
        """Let what acts come to its end, `finish_s` at most; cancel the rest."""
        running = set(self._running.values())
        if running:
            _, stuck = await asyncio.wait(running, timeout=self._finish_s)
            if stuck:
                _log.warning("tool_cut_off", tools=sorted(task.get_name() for task in stuck))
        await self._owner.stop()


def _not_again(result: ToolResult) -> ToolResult:
    """Done once is enough: what the first asked of the call is not asked again."""
    return replace(result, pieces=() if not result.ends_reply else result.pieces)


def canonical(arguments: str) -> str:
    """Return arguments in one form, whatever their order and spaces."""
    try:
        return json.dumps(json.loads(arguments or "{}"), sort_keys=True)
    except (ValueError, RecursionError):
        return arguments
