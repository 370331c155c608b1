"""PURE. An agent that says first that the call is recorded."""

from __future__ import annotations

from dataclasses import replace

from services.agent.agents.file import AgentFile, Localised
from services.agent.agents.load import Agent


def with_announcement(agent: Agent) -> Agent:
    """Return an agent with its announcement before its greeting, to be heard to its end.

    As it is where its file records nothing, or announces nothing.
    """
    rules = agent.file.recording
    if not rules.enabled or not rules.announcement:
        return agent
    announcement = rules.announcement.strip()
    flow = agent.flow
    if flow is not None:
        first, rest = "".join(flow.greeting[:1]), flow.greeting[1:]
        flow = replace(flow, greeting=(_before(first, announcement), *rest))
    return replace(agent, file=_announced(agent.file, announcement, agent.flow is None), flow=flow)


def _announced(file: AgentFile, announcement: str, is_without_flow: bool) -> AgentFile:
    taking = file.turn_taking
    passages = (announcement, *taking.uninterruptible)
    update: dict[str, object] = {
        "turn_taking": taking.model_copy(update={"uninterruptible": passages}),
        "languages": {
            name: _localised(part, announcement) for name, part in file.languages.items()
        },
    }
    # Without a greeting of its own it has that of the flow, which has the announcement already.
    if file.greeting or is_without_flow:
        update["greeting"] = _before(file.greeting, announcement)
    return file.model_copy(update=update)


def _localised(part: Localised, announcement: str) -> Localised:
    if part.greeting is None:
        return part
    return part.model_copy(update={"greeting": _before(part.greeting, announcement)})


def _before(greeting: str, announcement: str) -> str:
    return f"{announcement} {greeting}".strip()
