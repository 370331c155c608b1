"""PURE. What a worker tells of a call, and of itself, to those who look at the moment.

A call is told of in small JSON objects with `kind` and `at_ms`, milliseconds since the call's
first media:

    caller_partial  text: what the recogniser has heard of the utterance in hand
    caller          n, text, is_understood: a turn of the caller; n is its place in the transcript
    agent           text: the answer on its way, with the sentence in hand
    said            n, text: an answer that was heard whole
    interrupted     n, text: what was heard of an answer that the caller broke off
    take_back       n: all from this place on is said anew, because the caller goes on
    latency         endpointing, transcription, brain, synthesis, platform, total: ms of a turn
    barge_in        ms: from the onset of the caller's speech until clearAudio was written
    keys            who, text
    tool            name, outcome, took_ms
    state           state: of the session
    resumed         worker_id: another worker has taken the call over
    ended           reason
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from shared.protocol.call import WorkerId

EVENT_WATCH = "watch"
"""On the channel `calls`: somebody watches the call."""
EVENT_DRAIN, EVENT_UNDRAIN = "drain", "undrain"
"""On the channel `workers`, with `worker_id`: take no new calls, and take them again."""
WATCH_S = 45.0
"""How long a call is told of after a `watch`."""
WATCH_AGAIN_S = 20.0
VIEW_LIFE_S = 4.0
"""How long what a worker shows of itself counts."""
MAX_VIEW_CALLS = 500


@dataclass(frozen=True, slots=True)
class ShownAgent:
    """An agent that can take calls."""

    name: str
    version: str
    language: str
    greeting: str


@dataclass(frozen=True, slots=True)
class ShownCall:
    """A call on a worker, as it stands now."""

    call_id: str
    agent: str
    direction: str
    from_number: str
    to_number: str
    state: str
    age_s: float
    jitter_ms: float
    last_turn_ms: float | None
    turns: int


@dataclass(frozen=True, slots=True)
class WorkerView:
    """What a worker shows of itself beside its lease."""

    agents: tuple[ShownAgent, ...] = ()
    calls: tuple[ShownCall, ...] = field(default=())

    def to_json(self) -> str:
        """Return the text kept on the bus."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> WorkerView:
        """Read one back.

        Raises:
            ValueError: not a view of this version.
        """
        try:
            body: Mapping[str, Any] = json.loads(text)
            return cls(
                tuple(ShownAgent(**agent) for agent in body["agents"]),
                tuple(ShownCall(**call) for call in body["calls"]),
            )
        except (KeyError, TypeError) as exc:
            raise ValueError("not a worker's view") from exc


def view_key(worker_id: WorkerId) -> str:
    """Return the key of a worker's view among the small values."""
    return f"view:{worker_id}"
