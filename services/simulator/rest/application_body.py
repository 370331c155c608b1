"""PURE. The body of an Application: what is refused, and what the API shows of it afterwards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_URL = re.compile(r"https?://[^\s/]+\S*")
_URLS = ("answer_url", "hangup_url", "fallback_answer_url", "message_url")
_METHODS = ("answer_method", "hangup_method", "fallback_method", "message_method")
_FLAGS = ("default_number_app", "default_endpoint_app", "log_incoming_messages")


class BadApplication(Exception):
    """A body that is answered with 400; the text is the error."""


def new_application(app_id: str, body: object, *, resource_uri: str, now: str) -> dict[str, Any]:
    """Return what the API shows of an Application that is made.

    Args:
        app_id: its id.
        body: decoded JSON.
        resource_uri: where it is from now on.
        now: ISO 8601.

    Raises:
        BadApplication: not an object, no name or answer URL, or a field that can't be.
    """
    fields = _checked(body)
    for name in ("app_name", "answer_url"):
        if not fields.get(name):
            raise BadApplication(f"{name} is required")
    return {
        "app_id": app_id,
        "application_type": "XML",
        "answer_method": "POST",
        "hangup_url": fields["answer_url"],  # the default: the end is told to the answer URL
        "hangup_method": "POST",
        "fallback_answer_url": None,
        "fallback_method": "POST",
        "message_url": None,
        "message_method": "POST",
        "default_number_app": False,
        "default_endpoint_app": False,
        "enabled": True,
        "sub_account": None,
        "resource_uri": resource_uri,
        "created_at": now,
        "updated_at": now,
    } | fields


def changed_application(current: Mapping[str, Any], body: object, *, now: str) -> dict[str, Any]:
    """Return what the API shows of an Application after a change.

    What is left out stays, but `default_endpoint_app`: it goes back to false.

    Raises:
        BadApplication: not an object, or a field that can't be.
    """
    fields = _checked(body)
    return {**current, "default_endpoint_app": False, **fields, "updated_at": now}


def _checked(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise BadApplication("body must be a JSON object")
    fields = {name: body[name] for name in ("app_name", *_URLS, *_METHODS, *_FLAGS) if name in body}
    name = fields.get("app_name")
    if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise BadApplication("app_name must be of letters, digits, _ and -")
    for key in _URLS:
        url = fields.get(key)
        if url not in (None, "") and not (isinstance(url, str) and _URL.fullmatch(url)):
            raise BadApplication(f"{key} is not a URL")
    for key in _METHODS:
        if key in fields and fields[key] not in ("GET", "POST"):
            raise BadApplication(f"{key} must be GET or POST")
    for key in _FLAGS:
        if key in fields and not isinstance(fields[key], bool):
            raise BadApplication(f"{key} must be true or false")
    return fields
