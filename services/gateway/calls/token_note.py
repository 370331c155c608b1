"""PURE. What a media token says of its call, for a gateway that can't ask the bus.

Vobiz may bring the answer webhook to one gateway and the media socket to another. What the other
must know of the call lies on the bus; while that is away, it is in the URL. Numbers and metadata
are there only when the bus could not be told of them: proxies write URLs into their logs.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from services.gateway.calls.routing import fitting_metadata
from shared.protocol.call import CallId, Direction
from shared.protocol.worker import LinkRequest

_METADATA_CHARS = 1024


@dataclass(frozen=True, slots=True)
class NotedCall:
    """A call as its token tells of it, and when the token was made."""

    request: LinkRequest
    made_unix_s: int


def write_note(request: LinkRequest, now_unix_s: float, *, is_whole: bool) -> str:
    """Return a text of A-Z, a-z, 0-9, - and _, at most about 2,000 characters long.

    Args:
        request: what a worker is to be told of the call.
        now_unix_s: wall clock.
        is_whole: whether the numbers and the metadata are said too.
    """
    said: dict[str, object] = {
        "at": int(now_unix_s),
        "agent": request.agent,
        "direction": request.direction,
        "uuid": request.call_uuid,
    }
    if is_whole:
        said |= {
            "from": request.from_number,
            "to": request.to_number,
            "metadata": fitting_metadata(request.metadata, _METADATA_CHARS),
        }
    text = json.dumps(said, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def read_note(note: str, call_id: CallId, webhook_base: str) -> NotedCall | None:
    """Read the note of a token that was found good; None when there is none that can be read."""
    try:
        said = json.loads(base64.urlsafe_b64decode(note + "=" * (-len(note) % 4)))
        request = LinkRequest(
            call_id=call_id,
            agent=str(said["agent"]),
            from_number=str(said.get("from", "")),
            to_number=str(said.get("to", "")),
            direction=Direction(said["direction"]),
            metadata={str(k): str(v) for k, v in dict(said.get("metadata", {})).items()},
            call_uuid=str(said["uuid"]),
            webhook_base=webhook_base,
        )
        return NotedCall(request, int(said["at"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
