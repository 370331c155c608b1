"""Reading a request's body: never more of it than allowed, nor for longer, and JSON as a model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from services.dialer.problems import Problem, Refused

M = TypeVar("M", bound=BaseModel)
_MAX_FAULTS = 10
_MAX_DETAIL_CHARS = 1000
_MAX_FIELD_CHARS = 100


@dataclass(frozen=True, slots=True)
class BodyBounds:
    """How large a body may be, and how long it may take to come."""

    max_bytes: int = 65_536
    timeout_s: float = 10.0


def media_type(request: Request) -> str:
    """Return the body's media type in lower case, without parameters; empty: it has none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_model(request: Request, kind: type[M], bounds: BodyBounds) -> M:
    """Read a JSON body.

    Raises:
        Refused: 415 for another media type (asked for by name, so that no web page can do anything
            here with a simple form post), 413, 408, 422 for what the model does not take.
    """
    if media_type(request) != "application/json":
        raise Refused(Problem.of("not-json"))
    content = await read_body(request, bounds)
    try:
        return kind.model_validate_json(content)
    except ValidationError as exc:
        raise Refused(bad_body(exc)) from exc


def bad_body(exc: ValidationError) -> Problem:
    """Return the problem of a body that a model does not take; its values are not repeated."""
    faults = [
        (".".join(str(part) for part in fault["loc"]) or "body", fault["msg"])
        for fault in exc.errors(include_input=False, include_url=False, include_context=False)
    ]
    detail = "; ".join(f"{field}: {said}" for field, said in faults[:_MAX_FAULTS])
    first = faults[0][0] if faults else "body"
    return Problem.of(
        "invalid-request",
        _sound(detail[:_MAX_DETAIL_CHARS]),
        extra={"field": _sound(first[:_MAX_FIELD_CHARS])},
    )


def _sound(text: str) -> str:
    """Return a text that can be sent: names of fields may be anything JSON can hold."""
    return text.encode("utf-8", "replace").decode()


async def read_body(request: Request, bounds: BodyBounds) -> bytes:
    """Read a whole body.

    Raises:
        Refused: 413 as soon as it is known to be too large, 408 when it does not come in time; the
            connection is closed either way, with the rest of it unread.
    """
    too_large = Refused(
        Problem.of("too-large", f"It is limited to {bounds.max_bytes} bytes."),
        {"Connection": "close"},
    )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared[:12]) > bounds.max_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(bounds.timeout_s):
            async for part in request.stream():
                body += part
                if len(body) > bounds.max_bytes:
                    raise too_large
    except TimeoutError as exc:
        raise Refused(Problem.of("too-slow"), {"Connection": "close"}) from exc
    return bytes(body)
