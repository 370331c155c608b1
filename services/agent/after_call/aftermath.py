"""PURE. What remains of one call by its agent's file: record, retention, what is posted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.agent.after_call.post_call import CallEnd, post_call_item
from services.agent.after_call.record import RecordBuilder, retention_s
from services.agent.after_call.redact import Redaction
from services.agent.agents.file import AgentFile
from services.agent.providers.base import CallFacts
from shared.bus.messages import OutboxItem
from shared.protocol.call import CallChange, CallRecord, merge_change


class Aftermath:
    """What an agent's file wants of one call when it has ended.

    Args:
        agent: the file, as it was when the call began.
        version: of the file.
        call: who talked with whom; fills in a record that could not be read.
    """

    def __init__(self, agent: AgentFile, version: str, call: CallFacts) -> None:
        self._agent = agent
        self._version = version
        self._call = call
        self._redaction = Redaction.of(agent.data)
        self.builder = RecordBuilder(self._redaction)

    def change(
        self, transcript: Sequence[Mapping[str, Any]], *, language: str, more: Mapping[str, Any]
    ) -> CallChange:
        """Return the last change this worker makes to the record.

        A long call takes tens of milliseconds (1500 turns: 60 ms): call it in a thread then.

        Args:
            transcript: the session's; not changed, and not to change meanwhile.
            language: the one spoken at the end.
            more: further fields of the record.
        """
        fields = self.builder.fields(transcript) | {
            "agent_version": self._version,
            "language": language,
            **more,
        }
        return CallChange(
            self._call.call_id, None, fields, retention_s=retention_s(self._agent.data)
        )

    def item(
        self, change: CallChange, record: CallRecord | None, end: CallEnd
    ) -> OutboxItem | None:
        """Return what is to be delivered, or None where the agent has no URL.

        Args:
            change: what `change` returned.
            record: the record with that change in it; None when the store did not answer: then
                the worker's own knowledge has to do.
            end: how the call ended, as far as the worker knows.
        """
        if self._agent.after_call is None:
            return None
        if record is None:
            record = merge_change(None, change, now_iso=end.ended_at)[0]
        return post_call_item(
            self._with_facts(record),
            end,
            self._agent.after_call,
            self._redaction,
            keep_s=self._agent.data.keep_s,
        )

    def _with_facts(self, record: CallRecord) -> CallRecord:
        """Fill in who talked with whom, where the record has not been told."""
        call = self._call
        return replace(
            record,
            direction=record.direction or call.direction,
            from_number=record.from_number or call.from_number or None,
            to_number=record.to_number or call.to_number or None,
            agent=record.agent or call.agent,
            metadata={**call.metadata, **record.metadata},
            variables=record.variables or dict(call.variables),
        )
