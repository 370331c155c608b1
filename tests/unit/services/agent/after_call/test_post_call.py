"""What is posted, and what a receiver does with it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from services.agent import after_call
from services.agent.after_call.post_call import (
    CallEnd,
    PostCall,
    compose_body,
    post_call_item,
    request_headers,
    sign_body,
)
from services.agent.after_call.redact import Redaction
from services.agent.agents.file import AfterCall
from shared.bus.messages import OutboxItem
from shared.protocol.call import (
    CallId,
    CallRecord,
    CallState,
    Direction,
    EndClass,
    EndReason,
)

README = (Path(after_call.__file__).parent / "README.md").read_text()
RECORD = CallRecord(
    CallId("call-1"),
    CallState.IN_PROGRESS,
    direction=Direction.INBOUND,
    from_number="+918000001234",
    to_number="+918000005678",
    agent="shop",
    call_uuid="uuid-1",
    created_at="2026-01-01T00:00:00.000+00:00",
    metadata={"order": "55555"},
    transcript=[{"who": "agent", "text": "नमस्ते", "at_ms": 1}],
    usage=[{"kind": "llm", "provider": "openai", "unit": "input_tokens", "amount": 3}],
    summary={"turns": 1},
    agent_version="ab12",
    language="hi",
)
END = CallEnd(EndReason.CALLER_HUNG_UP, EndClass.CALLER, "2026-01-01T00:01:00.000+00:00", 58.5)
TARGET = AfterCall(url="https://crm.example/hook?x=1", secret="CRM_SECRET")


def item(record: CallRecord = RECORD, *, keep_s: float | None = None, **kept: bool) -> OutboxItem:
    return post_call_item(record, END, TARGET, Redaction(**kept), keep_s=keep_s)


def body(record: CallRecord = RECORD, **kept: bool) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(PostCall.from_json(item(record, **kept).payload).body)
    return parsed


def test_the_item_is_named_for_the_call_and_holds_the_secrets_name_alone() -> None:
    post = PostCall.from_json(item().payload)
    assert item().item_id == "call-1"
    assert (post.url, post.secret_env) == ("https://crm.example/hook?x=1", "CRM_SECRET")
    assert not post.allow_private
    assert PostCall.from_json(post.to_json()) == post


def test_the_body_tells_the_call_with_what_the_worker_knows_of_its_end() -> None:
    told = body()
    assert (told["event"], told["schema"], told["call_uuid"]) == ("call.ended", 1, "uuid-1")
    assert told["end"] == {"class": "caller", "reason": "caller_hung_up", "cause": None}
    assert (told["ended_at"], told["duration_s"]) == (END.ended_at, 58.5)
    assert (told["from"], told["to"]) == ("+918000001234", "+918000005678")
    assert told["transcript"] == RECORD.transcript
    assert (told["usage"], told["summary"]) == (RECORD.usage, RECORD.summary)
    assert (told["agent"], told["agent_version"], told["language"]) == ("shop", "ab12", "hi")
    assert told["kept"] == {"text": True, "redacted": []}


def test_what_the_hangup_webhook_has_told_already_comes_first() -> None:
    known = CallRecord(
        CallId("c"),
        CallState.COMPLETED,
        ended_at="then",
        duration_s=0.0,
        end_class=EndClass.SUCCESS,
        end_reason=EndReason.AGENT_HUNG_UP,
        hangup_cause="NORMAL",
    )
    told = body(known)
    assert (told["ended_at"], told["duration_s"]) == ("then", 0.0)
    assert told["end"] == {"class": "success", "reason": "agent_hung_up", "cause": "NORMAL"}


def test_redacted_numbers_are_told_by_their_last_digits() -> None:
    told = body(numbers=True, emails=True)
    assert (told["from"], told["to"]) == ("…1234", "…5678")
    assert told["kept"] == {"text": True, "redacted": ["numbers", "emails"]}
    assert told["metadata"] == {"order": "55555"}


@pytest.mark.parametrize(
    ("keep_s", "kept_s"), [(None, 7 * 86400), (0, 60), (600, 600), (9e6, 7 * 86400)]
)
def test_nothing_waits_longer_than_the_agents_retention(
    keep_s: float | None, kept_s: float
) -> None:
    assert item(keep_s=keep_s).keep_s == kept_s


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"url": 1, "body": 2}', "no json"])
def test_a_payload_that_is_none_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a post-call payload"):
        PostCall.from_json(text)


def test_the_headers_name_event_call_and_attempt() -> None:
    headers = request_headers("call-1", 3, b"{}", secret=None, at_s=5)
    assert headers == {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "parley-agent",
        "Parley-Event": "call.ended",
        "Idempotency-Key": "call-1",
        "Parley-Delivery-Attempt": "3",
    }
    signed = request_headers("call-1", 3, b"{}", secret="s", at_s=5)
    assert signed["Parley-Signature"] == sign_body(b"{}", "s", 5)


def test_the_signature_is_the_documented_one() -> None:
    assert sign_body(b'{"a":1}', "secret", 1767225600) == (
        "t=1767225600,v1=96a067a1c95eb143fc00b9097bcfcbcd5456adda508c443ff219748e764dbed7"
    )


def documented_check() -> Any:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102 - the example of our own document
    return names["is_genuine"]


def test_the_documents_example_takes_the_genuine_and_nothing_else() -> None:
    is_genuine, raw, now_s = documented_check(), '{"text":"é"}'.encode(), int(time.time())
    header = sign_body(raw, "secret", now_s)
    assert is_genuine(raw, header, "secret")
    assert not is_genuine(raw, header, "another")
    assert not is_genuine(raw + b" ", header, "secret")
    assert not is_genuine(raw, sign_body(raw, "secret", now_s - 301), "secret")
    assert not is_genuine(raw, header.replace(f"t={now_s}", f"t={now_s + 1}"), "secret")
    for broken in ("", "t=1", "v1=x", "t=x,v1=y", "=,="):
        assert not is_genuine(raw, broken, "secret")


def test_the_document_names_every_field_of_the_body() -> None:
    for name in compose_body(RECORD, Redaction()):
        assert f"`{name}`" in README, name
