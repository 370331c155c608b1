"""PURE. What Vobiz's REST answers say about an account, its Applications and its numbers.

Source: vobiz.ai docs, account, applications and numbers pages, read 2026-11.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.vobiz.answers import read_failure
from shared.vobiz.errors import Verdict, VobizFailure

_APP_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_MAX_TEXT_CHARS = 2048
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """Whose credentials these are, and what the account may do; None: Vobiz does not say.

    The answer also holds the account's secret, which is not taken out of it.
    """

    auth_id: str
    name: str = ""
    is_active: bool = True
    is_verified: bool | None = None
    is_trial: bool = False
    cps: float | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Channels:
    """Channels that ring or talk at present, and how many there may be."""

    used: int
    most: int


@dataclass(frozen=True, slots=True)
class Application:
    """An Application: what Vobiz fetches and tells about inbound calls to its numbers.

    `is_default_for_endpoints` is kept because Vobiz takes it back when a change does not repeat it.
    """

    app_id: str
    name: str
    answer_url: str = ""
    answer_method: str = "POST"
    hangup_url: str = ""
    hangup_method: str = "POST"
    fallback_answer_url: str = ""
    fallback_method: str = "POST"
    is_enabled: bool = True
    is_default_for_endpoints: bool = False


@dataclass(frozen=True, slots=True)
class OwnedNumber:
    """A number of the account, +E.164, and the Application it is attached to."""

    e164: str
    application_id: str | None = None


@dataclass(frozen=True, slots=True)
class ApplicationPage:
    """A page of Applications; `has_more` when another one follows."""

    applications: tuple[Application, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class NumberPage:
    """A page of numbers; `has_more` when another one follows."""

    numbers: tuple[OwnedNumber, ...]
    has_more: bool


def read_account(status: int, headers: Mapping[str, str], body: bytes) -> AccountFacts:
    """Return what an answer to GET auth/me says.

    Raises:
        VobizFailure: any status but 2xx, UNEXPECTED for an answer that names no account.
    """
    data = _object(status, headers, body)
    auth_id = _text(data.get("auth_id"))
    if not auth_id:
        raise _unreadable(status)
    concurrency = _whole(data.get("concurrent_calls_limit"))
    return AccountFacts(
        auth_id=auth_id,
        name=_text(data.get("name")),
        is_active=data.get("is_active") is not False and data.get("enabled") is not False,
        is_verified=data["is_verified"] if isinstance(data.get("is_verified"), bool) else None,
        is_trial=data.get("is_trial_account") is True,
        cps=_number(data.get("cps_limit")),
        concurrency=concurrency,
    )


def read_channels(status: int, headers: Mapping[str, str], body: bytes) -> Channels:
    """Return what an answer to GET concurrency says.

    Raises:
        VobizFailure: any status but 2xx, UNEXPECTED for an answer without the figures.
    """
    data = _object(status, headers, body)
    used, most = _whole(data.get("concurrent_calls")), _whole(data.get("max_concurrent"))
    if used is None or most is None:
        raise _unreadable(status)
    return Channels(used, most)


def read_applications(
    status: int, headers: Mapping[str, str], body: bytes, *, offset: int
) -> ApplicationPage:
    """Return a page of the list of Applications; entries that name none are passed over.

    Args:
        status: of the answer.
        headers: looked up in lower case.
        body: as received.
        offset: how many Applications came before this page.

    Raises:
        VobizFailure: any status but 2xx, UNEXPECTED for an answer without a list.
    """
    data = _object(status, headers, body)
    meta = data.get("meta")
    total = meta.get("total_count") if isinstance(meta, dict) else None
    return ApplicationPage(*_page(status, data.get("objects"), _application, offset, total))


def read_new_application(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Return the id of an Application that was made: a text, or a number in older answers.

    Raises:
        VobizFailure: any status but 2xx, UNEXPECTED for an answer without the id.
    """
    app_id = _app_id(_object(status, headers, body).get("app_id"))
    if app_id is None:
        raise _unreadable(status)
    return app_id


def read_numbers(
    status: int, headers: Mapping[str, str], body: bytes, *, before: int
) -> NumberPage:
    """Return a page of the account's numbers.

    Args:
        status: of the answer.
        headers: looked up in lower case.
        body: as received.
        before: how many numbers came before this page.

    Raises:
        VobizFailure: any status but 2xx, UNEXPECTED for an answer without a list.
    """
    data = _object(status, headers, body)
    return NumberPage(*_page(status, data.get("items"), _owned_number, before, data.get("total")))


def check_done(status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Take any 2xx as done; the body is not looked at, which differs between pages of the docs.

    Raises:
        VobizFailure: every other status.
    """
    if not 200 <= status < 300:
        raise read_failure(status, headers, body)


def _object(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    check_done(status, headers, body)
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise _unreadable(status) from None
    if not isinstance(data, dict):
        raise _unreadable(status)
    return data


def _page(
    status: int, entries: object, read: Callable[[object], T | None], before: int, total: object
) -> tuple[tuple[T, ...], bool]:
    """Return what can be read of a page, and whether another one follows.

    Raises:
        VobizFailure: UNEXPECTED where there is no list.
    """
    if not isinstance(entries, list):
        raise _unreadable(status)
    found = tuple(item for entry in entries if (item := read(entry)) is not None)
    most = _whole(total)
    return found, bool(entries) and most is not None and before + len(entries) < most


def _unreadable(status: int) -> VobizFailure:
    return VobizFailure(Verdict.UNEXPECTED, status=status, message="the answer can't be read")


def _application(entry: object) -> Application | None:
    if not isinstance(entry, dict):
        return None
    app_id, name = _app_id(entry.get("app_id")), _text(entry.get("app_name"))
    if app_id is None or not name:
        return None
    return Application(
        app_id=app_id,
        name=name,
        answer_url=_text(entry.get("answer_url")),
        answer_method=_method(entry.get("answer_method")),
        hangup_url=_text(entry.get("hangup_url")),
        hangup_method=_method(entry.get("hangup_method")),
        fallback_answer_url=_text(entry.get("fallback_answer_url")),
        fallback_method=_method(entry.get("fallback_method")),
        is_enabled=entry.get("enabled") is not False,
        is_default_for_endpoints=entry.get("default_endpoint_app") is True,
    )


def _owned_number(entry: object) -> OwnedNumber | None:
    if not isinstance(entry, dict):
        return None
    digits = _text(entry.get("e164")).removeprefix("+")
    if not re.fullmatch(r"[0-9]{3,15}", digits):
        return None
    return OwnedNumber(f"+{digits}", _app_id(entry.get("application_id")))


def _app_id(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and _APP_ID.fullmatch(value) else None


def _method(value: object) -> str:
    return _text(value).upper() or "POST"


def _text(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(sign for sign in value.strip() if sign.isprintable())[:_MAX_TEXT_CHARS]


def _number(value: object) -> float | None:
    """Return a figure, which some answers write as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)
