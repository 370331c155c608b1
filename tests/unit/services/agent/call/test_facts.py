"""What an agent is told of a call, and its own texts with that in them."""

from __future__ import annotations

from dataclasses import replace

from services.agent.agents.file import AgentFile
from services.agent.call.facts import facts_of, with_facts
from services.agent.turn.rules import MachineRules, TurnTaking
from shared.protocol.call import CallId, Direction
from shared.protocol.worker import LinkRequest
from tests.support.workshop import FACTS


def test_an_agent_is_told_who_calls_and_what_the_order_said() -> None:
    request = LinkRequest(
        CallId("call-1"),
        direction=Direction.OUTBOUND,
        from_number="+918000000001",
        to_number="+918000000002",
        metadata={"order": "7"},
        variables={"name": "Asha"},
    )
    facts = facts_of(request, AgentFile(name="clinic", language="hi"))
    assert (facts.call_id, facts.agent, facts.direction) == (
        "call-1",
        "clinic",
        Direction.OUTBOUND,
    )
    assert (facts.from_number, facts.to_number) == ("+918000000001", "+918000000002")
    assert (facts.metadata, facts.language) == ({"order": "7"}, "hi")
    assert facts.variables == {"name": "Asha"}


def test_the_rules_of_a_call_hold_its_facts() -> None:
    """A voicemail was told of an appointment at "{metadata.time}"."""
    rules = TurnTaking(
        machine=MachineRules(message="Hello {metadata.name}, you have {call.to}."),
        uninterruptible=("This is for {metadata.name}.",),
    )
    filled = with_facts(rules, replace(FACTS, metadata={"name": "Asha"}))
    assert filled.machine.message == "Hello Asha, you have +918000000002."
    assert filled.uninterruptible == ("This is for Asha.",)
    assert with_facts(TurnTaking(), FACTS) == TurnTaking()
