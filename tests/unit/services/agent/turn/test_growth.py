"""A call that lasts keeps what its record needs, in few bytes, and nothing else.

Every turn used to leave some thirty objects behind: the memory of a worker with 120 calls grew by
half a megabyte a minute.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc

from services.agent.after_call.record import RecordBuilder
from services.agent.after_call.redact import Redaction
from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.rules import TurnTaking
from tests.support.conversation import Scene

_PROMPT = "Hello? Are you there?"
_BYTES_EACH_TURN = 300
_OBJECTS_EACH_TURN = 3


class _LongCall(Scene):
    """A caller who says nothing, and an agent that asks again and again."""

    def __init__(self) -> None:
        self.record = RecordBuilder(Redaction())
        rules = TurnTaking(silence_s=0.2, max_call_s=36_000)
        super().__init__(lambda _: [base.Say(_PROMPT)], rules=rules)
        self.start()
        self.until_listening()

    def event(self, event: ev.Event) -> None:
        """Have the record take what the call gives it."""
        super().event(event)
        if isinstance(event, ev.CheckpointPlayed):
            self.record.on_mark("checkpoint", round(self.now_s * 1000), name=event.name)

    def take_turns(self, turns: int) -> None:
        for _ in range(turns):
            self.run(0.3)
            self.until_listening()
            self.actions.clear()  # what the scene alone remembers
            self.asked.clear()
            self.handset.heard.clear()

    def held(self) -> tuple[int, int]:
        """How many bytes and objects there are now."""
        gc.collect()
        return tracemalloc.get_traced_memory()[0], sys.getallocatedblocks()


def test_a_long_call_keeps_a_few_hundred_bytes_a_turn() -> None:
    """As dictionaries they were 1,170 bytes and 16 objects a turn; packed, 220 and one or two."""
    tracemalloc.start()
    try:
        call = _LongCall()
        call.take_turns(20)
        bytes_before, objects_before = call.held()
        call.take_turns(30)
        bytes_after, objects_after = call.held()
    finally:
        tracemalloc.stop()
    assert (bytes_after - bytes_before) / 30 < _BYTES_EACH_TURN
    assert (objects_after - objects_before) / 30 < _OBJECTS_EACH_TURN


def test_nothing_of_a_long_call_is_lost() -> None:
    call = _LongCall()
    call.take_turns(40)
    transcript, history = call.session.transcript, call.session.history
    marks = call.record.kept()["marks"]
    assert [entry["text"] for entry in transcript[1:]] == [_PROMPT] * 40
    assert [message.text for message in history] == [entry["text"] for entry in transcript]
    assert len({mark["name"] for mark in marks}) == len(marks) > 2 * 40
    times = [entry["at_ms"] for entry in transcript]
    assert times == sorted(set(times))
