"""What an agent's file makes of an ended call."""

from __future__ import annotations

import json
from typing import Any

from services.agent.after_call.aftermath import Aftermath
from services.agent.after_call.post_call import CallEnd, PostCall
from services.agent.agents.file import AgentFile
from services.agent.providers.base import CallFacts, Usage
from shared.bus.messages import OutboxItem
from shared.protocol.call import CallId, CallRecord, CallState, Direction, EndClass, EndReason

FACTS = CallFacts(
    CallId("c"), "shop", Direction.INBOUND, "+918000001234", "+918000005678", {"order": "9"}
)
END = CallEnd(EndReason.AGENT_HUNG_UP, EndClass.SUCCESS, "2026-01-01T00:00:09.000+00:00", 9.0)
SAID = [{"who": "caller", "text": "four two five five", "at_ms": 5}]


def aftermath(**file: Any) -> Aftermath:
    return Aftermath(AgentFile.model_validate(file), "ab12", FACTS)


def body(item: OutboxItem | None) -> dict[str, Any]:
    assert item is not None
    parsed: dict[str, Any] = json.loads(PostCall.from_json(item.payload).body)
    return parsed


def test_the_change_has_the_call_in_it_and_its_retention() -> None:
    remains = aftermath(data={"redact": ["numbers"], "keep_s": 3600})
    remains.builder.on_note(Usage("llm", "openai", "input_tokens", 3), 1)
    change = remains.change(SAID, language="hi", more={"worker_id": "w"})
    assert (change.call_id, change.state, change.retention_s) == ("c", None, 3600)
    assert change.fields["transcript"][0]["text"] == "[number]"
    assert change.fields["usage"][0]["amount"] == 3
    assert [change.fields[name] for name in ("agent_version", "language", "worker_id")] == [
        *("ab12", "hi", "w")
    ]


def test_without_a_url_nothing_is_posted() -> None:
    remains = aftermath()
    change = remains.change(SAID, language="en", more={})
    assert change.retention_s is None
    assert remains.item(change, None, END) is None


def test_the_stores_record_is_what_is_posted() -> None:
    remains = aftermath(after_call={"url": "https://crm.example/h", "secret": "S"})
    change = remains.change(SAID, language="en", more={})
    record = CallRecord(CallId("c"), CallState.COMPLETED, call_uuid="u", transcript=SAID)
    told = body(remains.item(change, record, END))
    assert (told["call_uuid"], told["transcript"]) == ("u", SAID)
    assert (told["agent"], told["direction"], told["from"]) == ("shop", "inbound", "+918000001234")
    record = CallRecord(CallId("c"), CallState.COMPLETED, agent="b", from_number="+91")
    told = body(remains.item(change, record, END))
    assert (told["agent"], told["from"], told["to"]) == ("b", "+91", "+918000005678")


def test_when_the_store_is_away_the_workers_own_knowledge_is_posted() -> None:
    remains = aftermath(
        after_call={"url": "https://crm.example/h"}, data={"redact": ["numbers"], "keep_s": 600}
    )
    change = remains.change(SAID, language="en", more={"milestones": {"stream_ms": 1.0}})
    item = remains.item(change, None, END)
    told = body(item)
    assert item is not None
    assert item.keep_s == 600
    assert (told["from"], told["to"], told["agent"]) == ("…1234", "…5678", "shop")
    assert (told["metadata"], told["milestones"]) == ({"order": "9"}, {"stream_ms": 1.0})
    assert told["transcript"][0]["text"] == "[number]"
    assert told["end"] == {"class": "success", "reason": "agent_hung_up", "cause": None}
    assert told["direction"] == "inbound"
