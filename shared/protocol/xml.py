"""PURE. The XML a webhook is answered with: one dataclass a verb, checked when it is made.

    Response(Stream(url=...), Speak("Sorry, we lost the line."), Hangup()).to_bytes()

An attribute left at None is not written, so Vobiz's default holds. What Vobiz would refuse, or
accept and then drop the call over, raises InvalidVerb here. Escaping is the XML library's.

Source: vobiz.ai docs, XML pages, read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar
from urllib.parse import urlsplit
from xml.etree import ElementTree

from shared.protocol.errors import InvalidVerb

MAX_XML_BYTES = 100 * 1024
MULAW_8K = "audio/x-mulaw;rate=8000"
L16_8K = "audio/x-l16;rate=8000"
L16_16K = "audio/x-l16;rate=16000"

Check = Callable[[Any], str | None]
"""Says what is wrong with a value, or None."""

_ILLEGAL_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WOMAN_ONLY = ("hi-IN", "en-IN")


# --- what an attribute may hold -----------------------------------------------------------------


def _flag(value: object) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _within(low: int, high: int) -> Check:
    def check(value: object) -> str | None:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if is_whole and low <= value <= high:  # type: ignore[operator] # narrowed by is_whole
            return None
        return f"must be a whole number from {low} to {high}"

    return check


def _among(*values: str) -> Check:
    return lambda value: None if value in values else f"must be one of {', '.join(values)}"


def _words(pattern: str, meaning: str) -> Check:
    compiled = re.compile(pattern)

    def check(value: object) -> str | None:
        is_good = isinstance(value, str) and compiled.fullmatch(value)
        return None if is_good else f"must be {meaning}"

    return check


def _text(max_chars: int) -> Check:
    def check(value: object) -> str | None:
        if not isinstance(value, str) or not value.strip() or len(value) > max_chars:
            return f"must be a text of 1 to {max_chars} characters"
        return "holds a character that XML forbids" if _ILLEGAL_IN_XML.search(value) else None

    return check


def _url(*schemes: str) -> Check:
    def check(value: object) -> str | None:
        problem = f"must be an absolute {' or '.join(schemes)} URL, percent-encoded"
        if not isinstance(value, str) or len(value) > 2048:
            return problem
        if not value.isascii() or not value.isprintable() or " " in value:
            return problem
        try:
            parts = urlsplit(value)
        except ValueError:
            return problem
        return None if parts.scheme.lower() in schemes and parts.hostname else problem

    return check


_HTTP_URL = _url("https", "http")
_METHOD = _among("POST", "GET")
_SECONDS = _within(1, 86_400)
_KEY = _words(r"[0-9*#]|any|none|", "a key, any, none or empty")
_PHONE_KEYS = _words(r"[0-9*#A-DwW]{1,128}", "phone keys and the pauses w and W")
_MATCH_KEYS = _words(r"[0-9*#]+(,[0-9*#]+)*", "phone keys, comma-joined")
_NUMBER = _words(r"\+?[0-9]{3,15}", "a phone number in digits")
_SIP_HEADERS = _words(
    r"X-VH-[A-Za-z0-9]+=[A-Za-z0-9]+(,X-VH-[A-Za-z0-9]+=[A-Za-z0-9]+)*",
    "X-VH-key=value pairs of letters and digits, comma-joined",
)


def _extra_headers(value: object) -> str | None:
    pairs = _words(r"[A-Za-z0-9]+=[A-Za-z0-9]+(,[A-Za-z0-9]+=[A-Za-z0-9]+)*", "k=v,k=v of letters")
    if problem := pairs(value):
        return problem + " and digits"
    return "is longer than 512 bytes" if len(str(value)) > 512 else None


def _attribute(name: str, check: Check, default: Any = None) -> Any:
    return field(default=default, metadata={"xml": name, "check": check})


def _content(check: Check) -> Any:
    return field(metadata={"xml": "", "check": check})


# --- verbs --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verb:
    """What all verbs share.

    Raises:
        InvalidVerb: on making one that Vobiz would refuse.
    """

    tag: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for spec in fields(self):
            value, check = getattr(self, spec.name), spec.metadata.get("check")
            if check is None or (value is None and spec.default is None):
                continue
            if problem := check(value):
                raise InvalidVerb(self.tag, f"{spec.metadata['xml'] or 'its content'} {problem}")
        if problem := self._conflict():
            raise InvalidVerb(self.tag, problem)

    def _conflict(self) -> str | None:
        """Say which attributes don't go together."""
        return None

    def _inside(self) -> Sequence[Verb]:
        return ()

    def element(self) -> ElementTree.Element:
        """Return the verb as an XML element."""
        element = ElementTree.Element(self.tag)
        for spec in fields(self):
            value = getattr(self, spec.name)
            if "xml" not in spec.metadata or value is None:
                continue
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if spec.metadata["xml"]:
                element.set(spec.metadata["xml"], text)
            else:
                element.text = text
        element.extend(verb.element() for verb in self._inside())
        return element


@dataclass(frozen=True, slots=True)
class Stream(Verb):
    """Open the media socket to `url`. The defaults are a voice agent's, not Vobiz's.

    `max_retries` reconnects follow a lost socket. With `keep_call_alive` the next verb runs when
    the stream has ended while the caller is still there, so one should follow.
    """

    tag: ClassVar[str] = "Stream"
    url: str = _content(_url("wss", "ws"))
    bidirectional: bool = _attribute("bidirectional", _flag, True)
    keep_call_alive: bool = _attribute("keepCallAlive", _flag, True)
    audio_track: str = _attribute("audioTrack", _among("inbound", "outbound", "both"), "inbound")
    content_type: str = _attribute(
        # 24 kHz stands on some pages, but then the socket never opens.
        "contentType",
        _among(MULAW_8K, L16_8K, L16_16K),
        MULAW_8K,
    )
    stream_timeout_s: int | None = _attribute("streamTimeout", _SECONDS)
    status_callback_url: str | None = _attribute("statusCallbackUrl", _HTTP_URL)
    status_callback_method: str | None = _attribute("statusCallbackMethod", _METHOD)
    extra_headers: str | None = _attribute("extraHeaders", _extra_headers)
    max_retries: int | None = _attribute("maxRetries", _within(0, 10))

    def _conflict(self) -> str | None:
        if self.bidirectional and self.audio_track != "inbound":
            return f"audioTrack {self.audio_track} and bidirectional end the call (4010)"
        if self.keep_call_alive and not self.bidirectional:
            return "keepCallAlive needs bidirectional"
        if self.status_callback_method and not self.status_callback_url:
            return "statusCallbackMethod without statusCallbackUrl"
        return None


@dataclass(frozen=True, slots=True)
class Speak(Verb):
    """Read a text aloud with Vobiz's own voice."""

    tag: ClassVar[str] = "Speak"
    text: str = _content(_text(4096))
    voice: str | None = _attribute("voice", _among("WOMAN", "MAN"))
    language: str | None = _attribute(
        "language", _words(r"[a-z]{2,3}(-[A-Z]{2,3})?", "a language such as en-IN")
    )
    loop: int | None = _attribute("loop", _within(1, 1000))

    def _conflict(self) -> str | None:
        if self.voice == "MAN" and self.language in _WOMAN_ONLY:
            return f"{self.language} has no voice MAN"
        return None


@dataclass(frozen=True, slots=True)
class Play(Verb):
    """Play an audio file; loop 0 goes on for ever."""

    tag: ClassVar[str] = "Play"
    url: str = _content(_HTTP_URL)
    loop: int | None = _attribute("loop", _within(0, 1000))


@dataclass(frozen=True, slots=True)
class Wait(Verb):
    """Wait, for a time, for silence, or for a voicemail's beep."""

    tag: ClassVar[str] = "Wait"
    length_s: int | None = _attribute("length", _SECONDS)
    silence: bool | None = _attribute("silence", _flag)
    min_silence_ms: int | None = _attribute("minSilence", _within(1, 600_000))
    beep: bool | None = _attribute("beep", _flag)


@dataclass(frozen=True, slots=True)
class Hangup(Verb):
    """End the call; as the first verb with a reason it refuses an inbound one unanswered."""

    tag: ClassVar[str] = "Hangup"
    reason: str | None = _attribute("reason", _among("rejected", "busy"))
    schedule_s: int | None = _attribute("schedule", _SECONDS)


@dataclass(frozen=True, slots=True)
class Redirect(Verb):
    """Go on with the XML of another URL."""

    tag: ClassVar[str] = "Redirect"
    url: str = _content(_HTTP_URL)
    method: str | None = _attribute("method", _METHOD)


@dataclass(frozen=True, slots=True)
class Dtmf(Verb):
    """Press keys."""

    tag: ClassVar[str] = "DTMF"
    digits: str = _content(_PHONE_KEYS)
    is_async: bool | None = _attribute("async", _flag)


Audible = Speak | Play | Wait


@dataclass(frozen=True, slots=True)
class Gather(Verb):
    """Take keys or words and post them to `action`; `prompts` play meanwhile."""

    tag: ClassVar[str] = "Gather"
    action: str = field(metadata={"xml": "action", "check": _HTTP_URL})
    prompts: Sequence[Audible] = ()
    method: str | None = _attribute("method", _METHOD)
    input_type: str | None = _attribute("inputType", _among("dtmf", "speech", "dtmf speech"))
    execution_timeout_s: int | None = _attribute("executionTimeout", _within(5, 60))
    digit_end_timeout_s: int | None = _attribute("digitEndTimeout", _within(1, 60))
    speech_end_timeout_s: int | None = _attribute("speechEndTimeout", _within(1, 60))
    finish_on_key: str | None = _attribute("finishOnKey", _KEY)
    num_digits: int | None = _attribute("numDigits", _within(1, 32))
    hints: str | None = _attribute("hints", _text(10_000))
    language: str | None = _attribute("language", _text(16))
    speech_model: str | None = _attribute("speechModel", _text(64))

    def _inside(self) -> Sequence[Verb]:
        return self.prompts


@dataclass(frozen=True, slots=True)
class Number(Verb):
    """A phone number inside Dial."""

    tag: ClassVar[str] = "Number"
    number: str = _content(_NUMBER)
    send_digits: str | None = _attribute("sendDigits", _PHONE_KEYS)
    send_on_preanswer: bool | None = _attribute("sendOnPreanswer", _flag)


@dataclass(frozen=True, slots=True)
class User(Verb):
    """A SIP address inside Dial."""

    tag: ClassVar[str] = "User"
    address: str = _content(_words(r"sips?:[\x21-\x7e]{3,512}", "a sip: address"))
    send_digits: str | None = _attribute("sendDigits", _PHONE_KEYS)
    sip_headers: str | None = _attribute("sipHeaders", _SIP_HEADERS)


@dataclass(frozen=True, slots=True)
class Dial(Verb):
    """Connect the call to others; several ring at once and the first to answer wins."""

    tag: ClassVar[str] = "Dial"
    targets: Sequence[Number | User] = ()
    action: str | None = _attribute("action", _HTTP_URL)
    method: str | None = _attribute("method", _METHOD)
    redirect: bool | None = _attribute("redirect", _flag)
    callback_url: str | None = _attribute("callbackUrl", _HTTP_URL)
    callback_method: str | None = _attribute("callbackMethod", _METHOD)
    caller_id: str | None = _attribute("callerId", _NUMBER)
    caller_name: str | None = _attribute("callerName", _text(50))
    timeout_s: int | None = _attribute("timeout", _SECONDS)
    time_limit_s: int | None = _attribute("timeLimit", _SECONDS)
    hangup_on_star: bool | None = _attribute("hangupOnStar", _flag)
    dial_music: str | None = _attribute("dialMusic", _text(2048))
    confirm_sound: str | None = _attribute("confirmSound", _HTTP_URL)
    confirm_key: str | None = _attribute("confirmKey", _words(r"[0-9*#]", "one key"))
    confirm_timeout_s: int | None = _attribute("confirmTimeout", _SECONDS)
    digits_match: str | None = _attribute("digitsMatch", _MATCH_KEYS)
    digits_match_b_leg: str | None = _attribute("digitsMatchBLeg", _MATCH_KEYS)
    sip_headers: str | None = _attribute("sipHeaders", _SIP_HEADERS)

    def _conflict(self) -> str | None:
        if not self.targets:
            return "nobody to dial"
        if self.redirect is False and not self.action:
            return "redirect false without action asks for the answer XML again, for ever"
        return None

    def _inside(self) -> Sequence[Verb]:
        return self.targets


@dataclass(frozen=True, slots=True)
class Record(Verb):
    """Record. Its `action` must be answered with an empty Response."""

    tag: ClassVar[str] = "Record"
    action: str = field(metadata={"xml": "action", "check": _HTTP_URL})
    method: str | None = _attribute("method", _METHOD)
    redirect: bool | None = _attribute("redirect", _flag)
    file_format: str | None = _attribute("fileFormat", _among("mp3", "wav"))
    max_length_s: int | None = _attribute("maxLength", _SECONDS)
    timeout_s: int | None = _attribute("timeout", _SECONDS)
    play_beep: bool | None = _attribute("playBeep", _flag)
    finish_on_key: str | None = _attribute("finishOnKey", _KEY)
    record_session: bool | None = _attribute("recordSession", _flag)
    start_on_dial_answer: bool | None = _attribute("startOnDialAnswer", _flag)
    transcription_type: str | None = _attribute("transcriptionType", _text(32))
    transcription_url: str | None = _attribute("transcriptionUrl", _HTTP_URL)
    callback_url: str | None = _attribute("callbackUrl", _HTTP_URL)
    callback_method: str | None = _attribute("callbackMethod", _METHOD)


@dataclass(frozen=True, slots=True)
class Conference(Verb):
    """Join a room. `end_on_exit` throws everybody out when this call leaves."""

    tag: ClassVar[str] = "Conference"
    name: str = _content(_text(128))
    stay_alone: bool | None = _attribute("stayAlone", _flag)
    start_on_enter: bool | None = _attribute("startConferenceOnEnter", _flag)
    end_on_exit: bool | None = _attribute("endConferenceOnExit", _flag)
    muted: bool | None = _attribute("muted", _flag)
    wait_sound: str | None = _attribute("waitSound", _HTTP_URL)
    callback_url: str | None = _attribute("callbackUrl", _HTTP_URL)
    callback_method: str | None = _attribute("callbackMethod", _METHOD)
    digits_match: str | None = _attribute("digitsMatch", _MATCH_KEYS)
    time_limit_s: int | None = _attribute("timeLimit", _SECONDS)
    relay_dtmf: bool | None = _attribute("relayDTMF", _flag)


@dataclass(frozen=True, slots=True)
class PreAnswer(Verb):
    """Sound before the call is answered (and billed)."""

    tag: ClassVar[str] = "PreAnswer"
    prompts: Sequence[Audible] = ()

    def _conflict(self) -> str | None:
        return None if self.prompts else "nothing inside"

    def _inside(self) -> Sequence[Verb]:
        return self.prompts


class Response:
    """A document of verbs, run from top to bottom.

    Without verbs it is the neutral answer to a callback; as the answer to a call it ends it.
    """

    def __init__(self, *verbs: Verb) -> None:
        for verb in verbs:
            if isinstance(verb, Number | User):
                raise InvalidVerb(verb.tag, "stands inside Dial only")
        self.verbs = verbs

    def to_bytes(self) -> bytes:
        """Return UTF-8 XML with its declaration, to be sent as application/xml.

        Raises:
            InvalidVerb: more than the 100 KB Vobiz reads.
        """
        root = ElementTree.Element("Response")
        root.extend(verb.element() for verb in self.verbs)
        document: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
        if len(document) > MAX_XML_BYTES:
            raise InvalidVerb("Response", f"{len(document)} bytes, {MAX_XML_BYTES} allowed")
        return document
