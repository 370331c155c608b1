"""PURE. The link between a gateway and an agent worker.

The link is a WebSocket that carries Vobiz's own JSON text frames unchanged, both ways, so that a
server shaped like the vendor's example can stand behind the gateway and a worker behind any
proxy. What is ours travels beside the frames: the path, the handshake's headers, close codes.
The gateway opens the link already when it answers the webhook: that is how a worker learns that
a call is coming and can have its greeting ready when the caller's audio arrives.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from urllib.parse import quote, unquote

from shared.protocol.call import CallId, Direction
from shared.protocol.errors import ProtocolError
from shared.protocol.trace import HEADER as TRACE_HEADER
from shared.protocol.trace import SpanPlace, parse_traceparent

_PATH_PREFIX = "/calls/"
_AUTH_LIFETIME_S = 60.0
_MAX_HEADER_CHARS = 8192
VARIABLES_CHARS = 3000
"""How much of a link's header the variables of a call may take, written as JSON."""


class LinkClose(IntEnum):
    """Close codes of the link; below 4000 they are RFC 6455's own.

    AWAY comes from a worker that leaves the stream for an errand of the network's and keeps its
    session: the call comes back by another link, to this worker as long as it lives.
    """

    NORMAL = 1000
    ENDED = 4000
    FULL = 4001
    HANDOVER = 4002
    UNKNOWN_CALL = 4003
    STALE_EPOCH = 4004
    SUPERSEDED = 4005
    NO_CALLER = 4006
    AWAY = 4007


class LinkRefused(ProtocolError):
    """A link request that is malformed, unsigned, wrongly signed or out of date."""


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """What a gateway tells a worker when it opens a link.

    `epoch` counts the attaches of a call: the worker with the highest one alone may speak.
    `resume` says that the call was in conversation before. `call_uuid` is Vobiz's id of the call
    and `webhook_base` the URL before the names of the gateway's webhooks, secret path part
    included; both are empty when the gateway does not say. `trace` is the gateway's span that the
    worker's are part of. It is not signed: one of another trace than the call's counts for nothing.
    """

    call_id: CallId
    epoch: int = 1
    agent: str = "default"
    from_number: str = ""
    to_number: str = ""
    direction: Direction = Direction.INBOUND
    resume: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    call_uuid: str = ""
    webhook_base: str = field(default="", repr=False)
    trace: SpanPlace | None = None

    @property
    def path(self) -> str:
        """The path to connect to."""
        return _PATH_PREFIX + quote(self.call_id, safe="")

    def headers(self, secret: str, now_unix_s: float) -> dict[str, str]:
        """Return the handshake headers, signed with the secret gateway and workers share."""
        issued = str(int(now_unix_s))
        body = self._body()
        headers = {
            "Parley-Call": body,
            "Parley-Time": issued,
            "Parley-Auth": _sign(secret, issued, self.path, body),
        }
        if self.trace is not None:
            headers[TRACE_HEADER] = self.trace.serialize()
        return headers

    def _body(self) -> str:
        return json.dumps(
            {
                "epoch": self.epoch,
                "agent": self.agent,
                "from": self.from_number,
                "to": self.to_number,
                "direction": self.direction,
                "resume": self.resume,
                "metadata": self.metadata,
                "variables": self.variables,
                "call_uuid": self.call_uuid,
                "webhook_base": self.webhook_base,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_headers(
        cls, path: str, headers: Mapping[str, str], secret: str, now_unix_s: float
    ) -> LinkRequest:
        """Read and check a handshake.

        Args:
            path: the request's path, without query.
            headers: looked up by the names `headers()` gives; the mapping decides about case.
            secret: the shared secret.
            now_unix_s: wall clock; a signature older or newer than a minute is refused.

        Raises:
            LinkRefused: anything missing, malformed, forged or out of date.
        """
        body, issued = headers.get("Parley-Call", ""), headers.get("Parley-Time", "")
        if not path.startswith(_PATH_PREFIX) or len(body) > _MAX_HEADER_CHARS:
            raise LinkRefused("not a call's link")
        given = headers.get("Parley-Auth", "")
        wanted = _sign(secret, issued, path, body)
        if not hmac.compare_digest(given.encode(), wanted.encode()):
            raise LinkRefused("the link's signature is wrong")
        try:
            if abs(now_unix_s - int(issued)) > _AUTH_LIFETIME_S:
                raise LinkRefused("the link's signature is out of date")
            data = json.loads(body)
            return cls(
                call_id=CallId(unquote(path[len(_PATH_PREFIX) :])),
                epoch=int(data["epoch"]),
                agent=str(data["agent"]),
                from_number=str(data["from"]),
                to_number=str(data["to"]),
                direction=Direction(data["direction"]),
                resume=bool(data["resume"]),
                metadata={str(k): str(v) for k, v in dict(data["metadata"]).items()},
                # A gateway of an earlier version does not say these.
                variables={str(k): str(v) for k, v in dict(data.get("variables", {})).items()},
                call_uuid=str(data.get("call_uuid", "")),
                webhook_base=str(data.get("webhook_base", "")),
                trace=parse_traceparent(headers.get(TRACE_HEADER, "")),
            )
        except (ValueError, KeyError, TypeError) as exc:
            raise LinkRefused("the link's headers can't be read") from exc


def _sign(secret: str, issued: str, path: str, body: str) -> str:
    message = "\n".join((issued, path, body)).encode()
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
