"""PURE. Which calls Vobiz records for us, what it says when it has, and where the file may be.

A webhook's signature covers neither its query nor its body, so a RecordUrl is a stranger's word.
The account's token goes to Vobiz's own hosts alone, by https (or to the API as it is configured);
from any other public host the file is fetched without it.

Source: vobiz.ai docs, Record verb and callbacks pages, read 2026-11.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.gateway.calls.routing import PublicAddress
from shared.protocol.webhook import Webhook
from shared.protocol.xml import Record

STOP_EVENT = "RecordStop"
_MOST_S = 14_400
_VOBIZ_DOMAIN = "vobiz.ai"
_MOST_URL_CHARS = 2048
_MOST_WORD_CHARS = 64
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class RecordRule:
    """Which agents' calls Vobiz is asked to record (`*`: all), and as what."""

    agents: frozenset[str] = frozenset()
    format: str = "mp3"

    def verb(self, agent: str, address: PublicAddress, query: dict[str, str]) -> Record | None:
        """Return the verb that stands before an answer's Stream; None: the call is not recorded.

        The caller hears no beep, and no key ends it. Without a length it would end at a minute.
        """
        if not self.agents & {agent, "*"}:
            return None
        return Record(
            action=address.webhook_url("record-action", **query),
            method="POST",
            redirect=False,
            file_format=self.format,
            max_length_s=_MOST_S,
            play_beep=False,
            finish_on_key="none",
            record_session=True,
            callback_url=address.webhook_url("record-stop", **query),
            callback_method="POST",
        )


@dataclass(frozen=True, slots=True)
class Notice:
    """What a RecordStop says: where the file is, and how long it is."""

    url: str
    recording_id: str
    duration_ms: int | None
    end_reason: str


def read_notice(webhook: Webhook) -> Notice | None:
    """Read a RecordStop; None where it names no file."""
    said = {name.replace("_", "").lower(): value for name, value in webhook.fields.items()}
    url = said.get("recordurl", "").strip()
    if not 0 < len(url) <= _MOST_URL_CHARS or not url.isascii() or not url.isprintable():
        return None
    recording_id = said.get("recordingid", "").strip()
    return Notice(
        url=url,
        recording_id=recording_id if _ID.fullmatch(recording_id) else "",
        duration_ms=_duration_ms(said),
        end_reason=re.sub(r"[^A-Za-z0-9 _-]", "", said.get("recordingendreason", ""))[
            :_MOST_WORD_CHARS
        ],
    )


def _duration_ms(said: dict[str, str]) -> int | None:
    for name, unit in (("recordingdurationms", 1), ("recordingduration", 1000)):
        text = said.get(name, "").strip()
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", text):
            return round(float(text) * unit)
    return None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file may be fetched: with the account's token or not, by private addresses or not."""

    is_trusted: bool
    may_be_private: bool


def judge_url(url: str, api_base: str) -> Place | None:
    """Return how a file may be fetched from a URL; None: not at all.

    Args:
        url: as a stranger has it, or as a server has redirected to it.
        api_base: Vobiz's REST API, as configured.
    """
    try:
        wanted = urlsplit(url)
        is_api = _origin(url) == _origin(api_base)
        host, port = (wanted.hostname or "").rstrip(".").lower(), wanted.port
    except ValueError:
        return None
    if not host or "@" in wanted.netloc or wanted.scheme not in {"http", "https"}:
        return None
    if is_api:
        # Who configures an API of their own, as a stand-in on this machine, means its address.
        return Place(is_trusted=True, may_be_private=not _is_vobiz(host))
    if wanted.scheme != "https":
        return None
    return Place(is_trusted=_is_vobiz(host) and port in {None, 443}, may_be_private=False)


def _is_vobiz(host: str) -> bool:
    return host == _VOBIZ_DOMAIN or host.endswith(f".{_VOBIZ_DOMAIN}")


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, (parts.hostname or "").rstrip(".").lower(), port


def format_of(head: bytes) -> str | None:
    """Return a file's format by its first bytes; None: it is no recording, whatever it is called.

    An error page that comes with 200 is not kept for a call's audio.
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    if head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
        return "mp3"
    return None
