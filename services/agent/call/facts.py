"""PURE. Who talks with whom in one call, and the agent's own texts with that filled in."""

from __future__ import annotations

from dataclasses import replace

from services.agent.agents.file import AgentFile
from services.agent.dialogue.prompt import fill_facts
from services.agent.providers.base import CallFacts
from services.agent.turn.rules import TurnTaking
from shared.protocol.worker import LinkRequest


def facts_of(request: LinkRequest, file: AgentFile) -> CallFacts:
    """Return what an agent is told of a call: by the gateway, in the agent's own language."""
    return CallFacts(
        request.call_id,
        file.name,
        request.direction,
        request.from_number,
        request.to_number,
        request.metadata,
        file.language,
        request.variables,
    )


def with_facts(rules: TurnTaking, facts: CallFacts) -> TurnTaking:
    """Return an agent's rules with the facts of a call in their texts."""
    message = fill_facts(rules.machine.message, facts)
    return replace(
        rules,
        machine=replace(rules.machine, message=message),
        uninterruptible=tuple(fill_facts(text, facts) for text in rules.uninterruptible),
    )
