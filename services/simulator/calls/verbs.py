"""PURE. The XML an application answers with, read as Vobiz reads it.

Unlike our own builder this reader takes whatever an application may send: missing attributes get
the documented defaults, numbers outside their range are pulled into it, and only what is no XML,
no `<Response>` or no known verb is refused (HangupCauseCode 801x).

Source: vobiz.ai docs, XML pages, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

MAX_XML_BYTES = 100 * 1024
KNOWN = frozenset(
    {
        "Stream",
        "Speak",
        "Play",
        "Hangup",
        "Redirect",
        "Wait",
        "Gather",
        "Dial",
        "Record",
        "DTMF",
        "Conference",
        "PreAnswer",
    }
)
_NESTED = {
    "Gather": frozenset({"Speak", "Play", "Wait"}),
    "PreAnswer": frozenset({"Speak", "Play", "Wait"}),
    "Dial": frozenset({"Number", "User"}),
}
STREAM_TYPES = {
    "audio/x-mulaw;rate=8000": ("audio/x-mulaw", 8000),
    "audio/x-l16;rate=8000": ("audio/x-l16", 8000),
    "audio/x-l16;rate=16000": ("audio/x-l16", 16000),
    "audio/x-l16;rate=24000": ("audio/x-l16", 24000),
}


class InvalidXml(Exception):
    """What an application answered can't be executed; `problem` says why."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: its name, attributes, text without white space around it, and nested verbs."""

    name: str
    attributes: Mapping[str, str]
    text: str = ""
    children: tuple[Verb, ...] = ()

    def get(self, name: str, default: str = "") -> str:
        """Return an attribute, or the documented default."""
        return self.attributes.get(name, default).strip()

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a true/false attribute; what is neither is the default."""
        return {"true": True, "false": False}.get(self.get(name).lower(), default)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Return a number pulled into low..high; what is none is the default."""
        try:
            value = float(self.get(name) or default)
        except ValueError:
            return default
        return min(max(value, low), high) if value == value else default


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """A `<Stream>`, its attributes read."""

    url: str
    is_bidirectional: bool
    tracks: tuple[str, ...]
    content_type: str
    sample_rate_hz: int
    timeout_s: float
    max_retries: int
    keeps_call_alive: bool
    callback_url: str
    callback_method: str
    extra_headers: Mapping[str, str]

    @property
    def is_refused(self) -> bool:
        """Whether Vobiz ends the call over it: a two-way stream of anything but the caller."""
        return self.is_bidirectional and self.tracks != ("inbound",)

    @property
    def never_opens(self) -> bool:
        """Whether Vobiz accepts it and then never upgrades the socket: 24 kHz inbound."""
        return self.sample_rate_hz == 24000


def parse_response(body: bytes) -> list[Verb]:
    """Read an answer.

    Raises:
        InvalidXml: too large, not well-formed (a bare `&` in a URL is enough), entities or
            external references, a root that is not Response, an unknown or misplaced verb.
    """
    if len(body) > MAX_XML_BYTES:
        raise InvalidXml(f"{len(body)} bytes, {MAX_XML_BYTES} allowed")
    try:
        root = ElementTree.fromstring(body)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as exc:
        raise InvalidXml(f"not well-formed: {exc}") from exc
    if root.tag != "Response":
        raise InvalidXml(f"root is <{root.tag}>, not <Response>")
    return [_verb(element, KNOWN) for element in root]


def stream_plan(verb: Verb) -> StreamPlan:
    """Read a `<Stream>` verb.

    Raises:
        InvalidXml: no ws:// or wss:// URL as text, or a content type that does not exist.
    """
    if not verb.text.startswith(("ws://", "wss://")):
        raise InvalidXml("<Stream> has no ws:// or wss:// URL as its text")
    content_type = verb.get("contentType", "audio/x-l16;rate=8000").replace(" ", "").lower()
    if content_type not in STREAM_TYPES:
        raise InvalidXml(f"<Stream> contentType {content_type!r}")
    track = verb.get("audioTrack", "inbound")
    is_bidirectional = verb.flag("bidirectional")
    encoding, rate_hz = STREAM_TYPES[content_type]
    return StreamPlan(
        url=verb.text,
        is_bidirectional=is_bidirectional,
        tracks=("inbound", "outbound") if track == "both" else (track,),
        content_type=encoding,
        sample_rate_hz=rate_hz,
        timeout_s=verb.number("streamTimeout", 86400, 1, 86400),
        max_retries=int(verb.number("maxRetries", 0, 0, 10)),
        keeps_call_alive=verb.flag("keepCallAlive") and is_bidirectional,
        callback_url=verb.get("statusCallbackUrl"),
        callback_method=verb.get("statusCallbackMethod", "POST"),
        extra_headers=_pairs(verb.get("extraHeaders")),
    )


def _verb(element: Element, allowed: frozenset[str]) -> Verb:
    if element.tag not in allowed:
        raise InvalidXml(f"<{element.tag}> is not a verb here")
    nested = _NESTED.get(element.tag, frozenset())
    return Verb(
        name=element.tag,
        attributes=dict(element.attrib),
        text="".join(element.itertext()).strip() if not len(element) else (element.text or ""),
        children=tuple(_verb(child, nested) for child in element),
    )


def _pairs(text: str) -> dict[str, str]:
    """Read `k1=v1,k2=v2`; only letters and digits survive in keys, at most 512 bytes in all."""
    pairs = (part.partition("=") for part in text[:512].split(","))
    return {key.strip(): value.strip() for key, _, value in pairs if key.strip().isalnum()}
