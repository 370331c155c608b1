"""PURE. What is posted when a call has ended: the body, its signature, and its way in the outbox.

The body is made once, when the call ends, and is the same at every attempt. The signature is made
anew each time, with the time of the attempt, over `<unix seconds>.<body>`; only the name of the
secret's environment variable is ever stored.

Body, JSON:
    event       "call.ended"
    schema      1; raised when a field changes its meaning or goes
    call_id     the platform's id; also the Idempotency-Key
    call_uuid   Vobiz's id
    direction, from, to, agent, agent_version, language
    created_at, ringing_at, answered_at, ended_at    ISO 8601, UTC, or null
    duration_s  from the answer
    end         {"class", "reason", "cause"}
    transcript, usage, summary, milestones           as in the call's record
    metadata, variables    what the call was placed with; never redacted
    kept        {"text": whether words were kept, "redacted": ["numbers", "emails"]}
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from services.agent.after_call.record import LEAST_RETENTION_S
from services.agent.after_call.redact import Redaction, last_digits
from services.agent.agents.file import AfterCall
from shared.bus.messages import OutboxItem
from shared.protocol.call import CallRecord, EndClass, EndReason

EVENT = "call.ended"
SCHEMA = 1
USER_AGENT = "parley-agent"
SIGNATURE_HEADER = "Parley-Signature"


@dataclass(frozen=True, slots=True)
class PostCall:
    """A body and where it goes; what the outbox keeps of it.

    Attributes:
        url: as the agent's file has it.
        body: JSON.
        secret_env: the environment variable whose value signs; None: it is not signed.
        allow_private: whether the URL may lead to private addresses.
    """

    url: str
    body: str
    secret_env: str | None = None
    allow_private: bool = False

    def to_json(self) -> str:
        """Return the outbox's payload."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a payload back.

        Raises:
            ValueError: not one of ours.
        """
        try:
            data = json.loads(text)
            secret = data["secret_env"]
            return cls(
                str(data["url"]),
                str(data["body"]),
                None if secret is None else str(secret),
                bool(data["allow_private"]),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise ValueError("not a post-call payload") from exc


def compose_body(record: CallRecord, redaction: Redaction) -> dict[str, Any]:
    """Return the body of a call's end. The record's transcript is redacted already."""
    hide = last_digits if redaction.numbers else _as_it_is
    return {
        "event": EVENT,
        "schema": SCHEMA,
        "call_id": record.call_id,
        "call_uuid": record.call_uuid,
        "direction": record.direction,
        "from": hide(record.from_number),
        "to": hide(record.to_number),
        "agent": record.agent,
        "agent_version": record.agent_version,
        "language": record.language,
        "created_at": record.created_at,
        "ringing_at": record.ringing_at,
        "answered_at": record.answered_at,
        "ended_at": record.ended_at,
        "duration_s": record.duration_s,
        "end": {
            "class": record.end_class,
            "reason": record.end_reason,
            "cause": record.hangup_cause,
        },
        "transcript": record.transcript,
        "usage": record.usage,
        "summary": record.summary,
        "milestones": record.milestones,
        "metadata": record.metadata,
        "variables": record.variables,
        "kept": {
            "text": redaction.keep_text,
            "redacted": [name for name in ("numbers", "emails") if getattr(redaction, name)],
        },
    }


def _as_it_is(number: str | None) -> str | None:
    return number


@dataclass(frozen=True, slots=True)
class CallEnd:
    """What a worker knows of a call's end before the hang-up webhook has told the rest."""

    reason: EndReason
    end_class: EndClass
    ended_at: str
    duration_s: float


def post_call_item(
    record: CallRecord,
    end: CallEnd,
    target: AfterCall,
    redaction: Redaction,
    *,
    keep_s: float | None,
) -> OutboxItem:
    """Return what is to be delivered of a call that has just ended.

    Args:
        record: as the store has it after the worker's last change.
        end: fills in what the record does not have yet.
        target: where it goes.
        redaction: what was left out of the record, and is to be of the numbers.
        keep_s: the agent's own retention: nothing waits in the outbox for longer.
    """
    known = replace(
        record,
        end_reason=record.end_reason or end.reason,
        end_class=record.end_class or end.end_class,
        ended_at=record.ended_at or end.ended_at,
        duration_s=end.duration_s if record.duration_s is None else record.duration_s,
    )
    body = json.dumps(compose_body(known, redaction), ensure_ascii=False, separators=(",", ":"))
    post = PostCall(target.url, body, target.secret, target.allow_private)
    item = OutboxItem(record.call_id, post.to_json())
    if keep_s is None:
        return item
    return replace(item, keep_s=min(item.keep_s, max(LEAST_RETENTION_S, keep_s)))


def sign_body(body: bytes, secret: str, at_s: int) -> str:
    """Return the value of Parley-Signature: `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`."""
    digest = hmac.new(secret.encode(), b"%d." % at_s + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


def request_headers(
    call_id: str, attempt: int, body: bytes, *, secret: str | None, at_s: int
) -> Mapping[str, str]:
    """Return the headers of one attempt; unsigned without a secret."""
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": USER_AGENT,
        "Parley-Event": EVENT,
        "Idempotency-Key": call_id,
        "Parley-Delivery-Attempt": str(attempt),
    }
    return headers | ({SIGNATURE_HEADER: sign_body(body, secret, at_s)} if secret else {})
