"""PURE. What setting a Vobiz account up would change: its Application, a number's attachment."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlunsplit

from services.dialer.cli.gateway_urls import Webhooks, parts_of
from shared.vobiz.setup_answers import Application, OwnedNumber

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HIDDEN = "..."


class NotPossible(Exception):
    """What is wanted can't be done as things stand; the text says what to do about it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the account is to be."""

    name: str
    webhooks: Webhooks
    number: str | None = None
    takes_over: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One line of what would change. Paths are hidden where a path secret stands in them."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: nothing where `changes` is empty.

    `fields` are for the Application, which is made where `app_id` is None. `attach` is a number
    that is to be attached to it.
    """

    app_id: str | None
    fields: dict[str, object] = field(default_factory=dict)
    attach: str | None = None
    changes: tuple[Change, ...] = ()


def make_plan(
    wanted: Wanted, applications: Sequence[Application], numbers: Sequence[OwnedNumber]
) -> Plan:
    """Compare what is with what is wanted.

    Raises:
        NotPossible: a name Vobiz does not take, several Applications of that name, a number that
            is not the account's or is attached elsewhere without leave to take it over.
    """
    if not _NAME.fullmatch(wanted.name):
        raise NotPossible(
            f"{wanted.name!r} can't be an Application's name: letters, digits, - and _ only."
        )
    present = _application(wanted.name, applications)
    fields = _fields(wanted, present)
    changes = [
        Change(_LABELS[key], _shown(_value(present, key)), _marked(present, key, str(value)))
        for key, value in fields.items()
        if key in _LABELS
    ]
    if present is None:
        changes.insert(0, Change("Application", "(none)", wanted.name))
    attach = None
    if wanted.number is not None:
        change = _attachment(wanted, present, applications, numbers)
        if change is not None:
            attach = wanted.number
            changes.append(change)
    return Plan(present.app_id if present is not None else None, fields, attach, tuple(changes))


def hide_secret(url: str) -> str:
    """Return a URL without the parts of its path before the last, where a secret may stand."""
    parts = parts_of(url)
    if parts is None:
        return _HIDDEN
    head, _, last = parts.path.rpartition("/")
    path = f"/{_HIDDEN}/{last}" if head else parts.path
    query = _HIDDEN if parts.query else ""
    return urlunsplit(parts._replace(path=path, query=query, fragment=""))


_LABELS = {
    "answer_url": "answer URL",
    "answer_method": "answer method",
    "hangup_url": "hangup URL",
    "hangup_method": "hangup method",
    "fallback_answer_url": "fallback URL",
    "fallback_method": "fallback method",
}


def _application(name: str, applications: Sequence[Application]) -> Application | None:
    found = [app for app in applications if app.name == name]
    if len(found) > 1:
        ids = ", ".join(app.app_id for app in found)
        raise NotPossible(
            f"There are {len(found)} Applications called {name} ({ids}): delete all but one in"
            " Vobiz' console, or choose another name by --name."
        )
    return found[0] if found else None


def _fields(wanted: Wanted, present: Application | None) -> dict[str, object]:
    """Return the fields to send: all of a new Application, the differing ones of a present one."""
    full = {
        "answer_url": wanted.webhooks.answer,
        "answer_method": "POST",
        "hangup_url": wanted.webhooks.hangup,
        "hangup_method": "POST",
        "fallback_answer_url": wanted.webhooks.fallback,
        "fallback_method": "POST",
    }
    if present is None:
        return {"app_name": wanted.name, **full}
    fields: dict[str, object] = {
        key: value for key, value in full.items() if _value(present, key) != value
    }
    if fields and present.is_default_for_endpoints:
        fields["default_endpoint_app"] = True  # a change that is silent about it takes it back
    return fields


def _attachment(
    wanted: Wanted,
    present: Application | None,
    applications: Sequence[Application],
    numbers: Sequence[OwnedNumber],
) -> Change | None:
    owned = next((number for number in numbers if number.e164 == wanted.number), None)
    if owned is None:
        raise NotPossible(_not_owned(wanted.number or "", numbers))
    if owned.application_id is None:
        return Change(f"number {owned.e164}", "(not attached)", wanted.name)
    if present is not None and owned.application_id == present.app_id:
        return None
    names = {app.app_id: app.name for app in applications}
    other = names.get(owned.application_id, owned.application_id)
    if not wanted.takes_over:
        raise NotPossible(
            f"{owned.e164} is attached to the Application {other}, whose calls it would take away:"
            " give --take-over if that is meant."
        )
    return Change(f"number {owned.e164}", other, wanted.name)


def _not_owned(number: str, numbers: Sequence[OwnedNumber]) -> str:
    some = ", ".join(owned.e164 for owned in numbers[:5])
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    has = f"it has {some}{more}" if numbers else "it has none"
    return f"{number} is no number of this account: {has}."


def _value(application: Application | None, key: str) -> str:
    return "" if application is None else str(getattr(application, key))


def _shown(value: str) -> str:
    if not value:
        return "(none)"
    return hide_secret(value) if "://" in value else value


def _marked(present: Application | None, key: str, after: str) -> str:
    """Return the new value; where only what is hidden differs, say so."""
    before, shown = _shown(_value(present, key)), _shown(after)
    return f"{shown} (its hidden part differs)" if before == shown else shown
