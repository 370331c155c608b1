"""PURE. All that another worker needs to go on with a call, as one text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from services.agent.turn.snapshot import BadSnapshot, Snapshot, read_snapshot, write_snapshot


@dataclass(frozen=True, slots=True)
class KeptCall:
    """A call as it stood.

    Attributes:
        session: the conversation.
        language: the one spoken.
        variables: the dialogue's, see Conversation.
        account: see Account.
        consumed: see Consumed.
        recording: see Recorder; None: the call is not recorded.
    """

    session: Snapshot
    language: str
    variables: Mapping[str, str]
    account: Mapping[str, Any] = field(default_factory=dict)
    consumed: Mapping[str, Any] = field(default_factory=dict)
    recording: Mapping[str, Any] | None = None


def write_call(kept: KeptCall) -> str:
    """Return a call as JSON."""
    data = {
        "session": write_snapshot(kept.session),
        "language": kept.language,
        "variables": dict(kept.variables),
        "account": dict(kept.account),
        "consumed": dict(kept.consumed),
        "recording": None if kept.recording is None else dict(kept.recording),
    }
    return msgspec.json.encode(data, enc_hook=str).decode()


def read_call(text: str) -> KeptCall:
    """Read what `write_call` wrote.

    Raises:
        BadSnapshot: of another version, or damaged.
    """
    try:
        data = json.loads(text)
        variables = {str(name): str(value) for name, value in data["variables"].items()}
        return KeptCall(
            read_snapshot(data["session"]),
            str(data["language"]),
            variables,
            dict(data["account"]),
            dict(data["consumed"]),
            # A worker of an earlier version records nothing, and does not say so.
            None if data.get("recording") is None else dict(data["recording"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise BadSnapshot(str(exc)) from exc
