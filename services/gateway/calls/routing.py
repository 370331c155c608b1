"""PURE. What Vobiz is answered: whose call it is, which verbs run, where the media goes.

Every rule here may be asked twice for one call, and must then say the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from services.gateway.media.relay import Parting
from shared.protocol.call import CallId, CallRecord, Direction
from shared.protocol.webhook import Webhook
from shared.protocol.worker import VARIABLES_CHARS
from shared.protocol.xml import Hangup, Record, Redirect, Response, Speak, Stream, Wait

HANGUP_EVENT = "Hangup"
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_AGENT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9]([A-Za-z0-9.-]{0,251}))(:[0-9]{1,5})?")
_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}")
DEFAULT_AGENT = "default"
_METADATA_CHARS = 4096


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """How Vobiz reaches this gateway.

    `base` is a URL without a slash at its end, `path_secret` the first part of every path.
    """

    base: str
    path_secret: str | None = None

    @property
    def webhook_base(self) -> str:
        """What stands before the names of our webhooks."""
        return f"{self.base}/{self.path_secret}" if self.path_secret else self.base

    def webhook_url(self, name: str, **query: str) -> str:
        """Return the URL of one of our webhooks."""
        return f"{self.webhook_base}/{name}" + (f"?{urlencode(query)}" if query else "")

    def media_url(self, call_id: CallId, token: str) -> str:
        """Return the URL of a call's media socket, wss where we are reached by https."""
        parts = urlsplit(self.base)
        scheme = "wss" if parts.scheme == "https" else "ws"
        path = f"{parts.path}/ws/{quote(call_id, safe='')}/{token}"
        return urlunsplit((scheme, parts.netloc, path, "", ""))


def base_of_host(host: str) -> str | None:
    """Return a local gateway's base URL by the Host header of a request, None for a bad one."""
    return f"http://{host}" if _HOST.fullmatch(host) else None


def is_private_host(host: str) -> bool:
    """Whether a Host header names us by an address, or by a name that no stranger can own.

    A web site's name may be made to point here, so that its pages read what we answer; a name of
    one label, as machines and containers have among themselves, can't be such a site's.
    """
    base = base_of_host(host)
    name = urlsplit(base).hostname if base is not None else None
    return name is not None and (
        ":" in name or "." not in name or _ADDRESS.fullmatch(name) is not None
    )


def resolve_call_id(
    webhook: Webhook, claimed: str | None, claimed_record: CallRecord | None, *, is_known: bool
) -> CallId:
    """Return our id of the call a webhook is about.

    Args:
        webhook: as parsed.
        claimed: the `c` of the webhook's URL, put there by the dialer, echoed by Vobiz.
        claimed_record: the record under that id, if there is one.
        is_known: whether the records could be asked; if not, an outbound call's claim is
            believed, so that the call is not split in two.
    """
    if claimed is None or not _ID.fullmatch(claimed):
        return webhook.call_uuid
    if not is_known:
        is_outbound = webhook.direction is Direction.OUTBOUND
        return CallId(claimed) if is_outbound else webhook.call_uuid
    if claimed_record is None or claimed_record.direction is not Direction.OUTBOUND:
        return webhook.call_uuid
    if claimed_record.call_uuid not in {None, webhook.call_uuid, webhook.request_uuid}:
        return webhook.call_uuid
    return CallId(claimed)


def agent_name(asked: str | None, record: CallRecord | None) -> str:
    """Return the agent that takes a call: the URL's `agent`, else the record's, else default."""
    for name in (asked, record.agent if record else None):
        if name and _AGENT.fullmatch(name):
            return name
    return DEFAULT_AGENT


def is_agent_name(text: str) -> bool:
    """Whether a text has the form of an agent's name."""
    return _AGENT.fullmatch(text) is not None


def is_call_id(text: str) -> bool:
    """Whether a text has the form of a call's id."""
    return _ID.fullmatch(text) is not None


def callback_query(call_id: CallId, call_uuid: str) -> dict[str, str]:
    """Return the query our callback URLs need so that `resolve_call_id` finds the call again."""
    return {} if call_id == call_uuid else {"c": call_id}


@dataclass(frozen=True, slots=True)
class Texts:
    """What Vobiz's own voice says for us."""

    busy: str
    apology: str


def stream_answer(
    address: PublicAddress,
    call_id: CallId,
    call_uuid: str,
    token: str,
    *,
    max_retries: int,
    texts: Texts,
    record: Record | None = None,
) -> bytes:
    """Return the XML that opens the media socket; `record` has the session recorded first.

    Behind the stream stands /fallback, which knows how it ended, and behind that words that need
    nobody: a caller never hears mere silence.
    """
    query = callback_query(call_id, call_uuid)
    return Response(
        *([] if record is None else [record]),
        Stream(
            url=address.media_url(call_id, token),
            max_retries=max_retries,
            status_callback_url=address.webhook_url("stream-status", **query),
            status_callback_method="POST",
        ),
        Redirect(address.webhook_url("fallback", **query), method="POST"),
        Speak(texts.apology),
        Hangup(),
    ).to_bytes()


def hold_answer(address: PublicAddress, query: dict[str, str], hold: str, pause_s: int) -> bytes:
    """Return the XML of a call that waits for a worker: words, a pause, and it asks again."""
    return Response(
        Speak(hold),
        Wait(length_s=pause_s),
        Redirect(address.webhook_url("answer", **query), method="POST"),
    ).to_bytes()


def parting_answer(parting: Parting, texts: Texts) -> bytes:
    """Return the XML for a call that has no media any more, or never got any."""
    if parting is Parting.ENDED:
        return Response(Hangup()).to_bytes()
    text = texts.busy if parting is Parting.BUSY else texts.apology
    return Response(Speak(text), Hangup()).to_bytes()


def read_parting(stored: str | None) -> Parting:
    """Read a parting kept on the bus."""
    return Parting(stored) if stored in {p.value for p in Parting} else Parting.LOST


def link_metadata(webhook: Webhook, record: CallRecord | None) -> dict[str, str]:
    """Return what a worker is told of a call beside the numbers.

    The dialer's metadata, what the caller's SIP headers brought (X-PH-*, X-VH-*), and `machine`
    where Vobiz has judged already who answered.
    """
    found = dict(record.metadata) if record else {}
    if webhook.machine is not None:
        found["machine"] = "true" if webhook.machine else "false"
    sip = {k: v for k, v in webhook.fields.items() if k.upper().startswith(("X-PH-", "X-VH-"))}
    return fitting_metadata({**found, **sip})


def link_variables(record: CallRecord | None) -> dict[str, str]:
    """Return what an order brought for the agent's own texts, as much of it as fits."""
    return fitting_metadata(record.variables, VARIABLES_CHARS) if record else {}


def fitting_metadata(
    metadata: Mapping[str, str], room_chars: int = _METADATA_CHARS
) -> dict[str, str]:
    """Return as many of the first entries as fit, where nothing is said a worker link's header."""
    kept: dict[str, str] = {}
    for key, value in metadata.items():
        # JSON may need six characters for one; quotes, colon and comma come on top.
        room_chars -= len(json.dumps([key, value]))
        if room_chars < 0:
            break
        kept[key] = value
    return kept
