"""Runs scripted conversations through an agent's brain."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from services.agent.cli.eval_call import TextCall
from services.agent.cli.eval_judge import judge
from services.agent.cli.eval_outcome import Fault, Judged, Outcome, ScenarioResult
from services.agent.cli.eval_scenario import Expected, Scenario, Scenarios, Turn
from services.agent.cli.eval_source import AgentAtHand
from services.agent.providers.base import CallFacts, ToolSpec
from services.agent.tools.base import Tool, ToolContext, ToolResult
from services.agent.tools.builtin import CallTool
from services.agent.tools.toolbox import ToolBox
from shared.protocol.call import CallId


class CannedTool:
    """A tool of which only the look is left: it gives back what the scenario says."""

    def __init__(self, tool: Tool, result: Any) -> None:
        self.spec: ToolSpec = tool.spec
        self.acts = tool.acts
        self.timeout_s = tool.timeout_s
        self.filler = tool.filler
        self._text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """See Tool."""
        return ToolResult(self._text)

    async def aclose(self) -> None:
        """See Tool."""


def canned_tools(tools: ToolBox, canned: Mapping[str, Any]) -> ToolBox:
    """Return tools that touch nothing: the canned ones, and "Done." of every other that acts.

    Those that are mere pieces of a call (`hang_up` and the like) stay as they are.
    """

    def stand_in(tool: Tool) -> Tool:
        if tool.spec.name in canned:
            return CannedTool(tool, canned[tool.spec.name])
        if tool.acts and not isinstance(tool, CallTool):
            return CannedTool(tool, "Done.")
        return tool

    return ToolBox([stand_in(tool) for tool in tools.tools])


async def run_scenarios(
    agent: AgentAtHand,
    scenarios: Scenarios,
    *,
    is_live: bool = False,
    only: str | None = None,
    now_s: Callable[[], float] = time.monotonic,
) -> AsyncIterator[ScenarioResult]:
    """Yield the result of each conversation when it is over.

    Args:
        agent: a brain of its own serves each conversation.
        scenarios: what to say to it.
        is_live: use the tools as they are.
        only: the name of the one to run.
        now_s: monotonic seconds.
    """
    file, tools = agent.file, agent.open_tools()
    try:
        for number, scenario in enumerate(scenarios.scenarios):
            if only not in (None, scenario.name):
                continue
            facts = CallFacts(
                CallId(f"eval-{number + 1}"),
                file.name,
                scenario.direction,
                scenario.from_number,
                scenario.to_number,
                scenario.metadata,
                scenario.language or file.language,
                scenario.variables,
            )
            used = tools if is_live else canned_tools(tools, scenario.tools)
            async with agent.open_brain(used) as brain:
                call = TextCall(brain.open(facts, {}), facts, now_s=now_s)
                try:
                    yield await _run(call, scenario, scenarios)
                finally:
                    await call.aclose()
    finally:
        await tools.aclose()


async def _run(call: TextCall, scenario: Scenario, scenarios: Scenarios) -> ScenarioResult:
    result = ScenarioResult(scenario.name)

    def add(what: str, expected: Expected, outcome: Outcome, *, is_last: bool) -> bool:
        faults = judge(expected, outcome, within=scenarios.within_ms, may_end=is_last)
        result.turns.append(Judged(what, outcome, faults))
        return not outcome.is_over and outcome.error is None

    goes_on = add("greeting", scenario.greeting, await call.greet(), is_last=False)
    for number, turn in enumerate(scenario.turns):
        is_last = number == len(scenario.turns) - 1
        if not goes_on:
            fault = Fault("a turn of the agent", "the call is over")
            result.turns.append(Judged(str(turn), Outcome(), [fault]))
            return result
        goes_on = add(str(turn), turn.expect, await _take(call, turn), is_last=is_last)
    return result


async def _take(call: TextCall, turn: Turn) -> Outcome:
    if turn.say is not None:
        return await call.say(turn.say)
    if turn.press is not None:
        return await call.press(turn.press)
    if turn.interrupt is not None:
        return await call.interrupt(turn.interrupt.after_words, turn.interrupt.say)
    return await call.silence()
