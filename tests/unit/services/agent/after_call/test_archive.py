"""Where a call goes when it is over: into the store, and to whoever asked for its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.agent.after_call import archive as module
from services.agent.after_call.aftermath import Aftermath
from services.agent.after_call.archive import Archive
from services.agent.after_call.post_call import CallEnd, PostCall
from services.agent.agents.file import AgentFile
from shared.bus.base import BusUnavailable, CallStore
from shared.bus.memory import MemoryBus
from shared.bus.messages import Applied, OutboxItem
from shared.protocol.call import CallChange, CallId, CallRecord, EndClass, EndReason
from tests.support.workshop import FACTS

END = CallEnd(EndReason.AGENT_HUNG_UP, EndClass.SUCCESS, "2026-01-01T00:00:09.000+00:00", 9.0)
SAID = [{"who": "agent", "text": "Hello.", "at_ms": 0, "is_interrupted": False}]


class Postman:
    """Keeps what is handed over."""

    def __init__(self) -> None:
        self.items: list[OutboxItem] = []

    async def hand_over(self, item: OutboxItem) -> None:
        self.items.append(item)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(PostCall.from_json(item.payload).body) for item in self.items]


class LostCalls:
    """A store that is away, or never answers."""

    def __init__(self, *, is_silent: bool) -> None:
        self._is_silent = is_silent

    async def apply(self, change: CallChange) -> Applied:
        if self._is_silent:
            await asyncio.Event().wait()
        raise BusUnavailable("away")

    async def get(self, call_id: CallId) -> CallRecord | None:
        raise BusUnavailable("away")

    async def recent(self, limit: int, *, before: CallId | None = None) -> list[CallRecord]:
        raise BusUnavailable("away")


async def keep(store: CallStore, postman: Postman, said: Sequence[Any] = SAID, **file: Any) -> None:
    aftermath = Aftermath(AgentFile.model_validate(file), "v1", FACTS)
    change = aftermath.change(said, language="en", more={"worker_id": "w"})
    await Archive(store, postman).keep(change, aftermath, END)


async def test_the_record_is_written() -> None:
    bus, postman = MemoryBus(), Postman()
    await keep(bus.calls, postman)
    record = await bus.calls.get(FACTS.call_id)
    assert record is not None
    assert [entry["text"] for entry in record.transcript] == ["Hello."]
    assert postman.items == [], "nobody has asked for it"


async def test_the_end_is_posted_with_what_the_store_knows() -> None:
    bus, postman = MemoryBus(), Postman()
    await bus.calls.apply(CallChange(FACTS.call_id, fields={"call_uuid": "uuid-1"}))
    await keep(bus.calls, postman, after_call={"url": "https://crm.example.com/calls"})
    (body,) = postman.bodies
    assert (body["call_uuid"], body["end"]["reason"]) == ("uuid-1", "agent_hung_up")
    assert postman.items[0].item_id == FACTS.call_id


@pytest.mark.parametrize("is_silent", [False, True])
async def test_without_the_store_the_worker_tells_what_it_knows(
    monkeypatch: pytest.MonkeyPatch, is_silent: bool
) -> None:
    monkeypatch.setattr(module, "_WRITE_S", 0.02)
    postman = Postman()
    with capture_logs() as logs:
        await keep(
            LostCalls(is_silent=is_silent),
            postman,
            after_call={"url": "https://crm.example.com/calls"},
        )
    assert [log["event"] for log in logs] == ["record_not_written"]
    (body,) = postman.bodies
    assert (body["from"], body["transcript"][0]["text"]) == (FACTS.from_number, "Hello.")
