"""PURE. How routes say in OpenAPI what they take and answer, examples included.

Bodies are read by hand, within bounds, and answers are plain dictionaries, so that FastAPI knows
neither: a route names its models here. Schemas are written out where they are used, so that one
route's documents depend on no other's.

    @router.post(
        "/things",
        status_code=201,
        openapi_extra=body_of(ThingBody, {"one": {"name": "x"}}),
        responses=answer_of(201, ThingView, {...}, "The thing.") | problems("thing-exists"),
    )
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter

from services.dialer.problems import KINDS, MEDIA_TYPE

JSON = "application/json"
_EVERYWHERE = ("unauthorized", "missing-scope", "invalid-request", "too-many-requests")
_STORED = ("records-unavailable",)
_WITH_BODY = ("not-json", "too-large", "too-slow")


class ProblemView(BaseModel):
    """A problem document (RFC 9457); some kinds have further members."""

    type: str = Field(description="urn:parley:problem: and the kind of problem")
    title: str
    status: int
    detail: str = ""
    retry_after_s: int | None = Field(None, description="as the header Retry-After")


def schema_of(model: type[object]) -> dict[str, Any]:
    """Return the JSON schema, without references, of a pydantic model or a dataclass."""
    known: Any = model  # mypy holds a class to its instances' __hash__
    return deepcopy(_schema_of(known))


@cache
def _schema_of(model: Any) -> dict[str, Any]:
    schema = TypeAdapter(model).json_schema(mode="validation", by_alias=True)
    definitions = schema.pop("$defs", {})
    inlined = _inlined(schema, definitions)
    assert isinstance(inlined, dict)
    return inlined


def body_of(
    model: type[BaseModel],
    examples: Mapping[str, Any],
    *,
    others: Mapping[str, Mapping[str, Any]] | None = None,
    is_required: bool = True,
) -> dict[str, Any]:
    """Return a route's `openapi_extra`: the JSON body it reads.

    Args:
        model: of the body.
        examples: by name, JSON-ready.
        others: what is said of other media types that are taken, by media type.
        is_required: whether there must be a body.
    """
    content: dict[str, Any] = {JSON: {"schema": schema_of(model), "examples": _named(examples)}}
    return {"requestBody": {"required": is_required, "content": content | dict(others or {})}}


def answer_of(
    status: int,
    model: type[object] | None,
    example: Any,
    description: str,
    *,
    headers: Mapping[str, str] | None = None,
) -> dict[int | str, dict[str, Any]]:
    """Return a part of a route's `responses`: a good answer; without a model it has no body.

    `headers` are described by name.
    """
    said: dict[str, Any] = {"description": description}
    if headers:
        said["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in headers.items()
        }
    if model is not None:
        said["content"] = {JSON: {"schema": schema_of(model), "example": example}}
    return {status: said}


def text_answer(
    status: int, media_type: str, example: str, description: str
) -> dict[int | str, dict[str, Any]]:
    """Return a part of a route's `responses`: a good answer that is text of another kind."""
    content = {media_type: {"schema": {"type": "string"}, "example": example}}
    return {status: {"description": description, "content": content}}


def events_answer(example: str, description: str) -> dict[int | str, dict[str, Any]]:
    """Return a part of a route's `responses`: server-sent events; the schema is that of each."""
    texts = {name: {"type": "string"} for name in ("id", "event", "data")}
    schema = {"type": "object", "properties": texts, "required": ["data"]}
    content = {"text/event-stream": {"schema": schema, "example": example}}
    return {200: {"description": description, "content": content}}


def problems(
    *kinds: str, has_body: bool = False, is_stored: bool = True
) -> dict[int | str, dict[str, Any]]:
    """Return a part of a route's `responses`: the problems it may answer, by status.

    Args:
        kinds: of its own; those of every route (key, parameters, rate, Redis) come by themselves.
        has_body: whether it reads a JSON body, which may be refused.
        is_stored: whether it needs Redis.

    Raises:
        KeyError: a kind that is not in the table of problems.
    """
    all_kinds: Iterable[str] = (
        *_EVERYWHERE,
        *(_STORED if is_stored else ()),
        *(_WITH_BODY if has_body else ()),
        *kinds,
    )
    by_status: dict[int, dict[str, str]] = {}
    for kind in dict.fromkeys(all_kinds):
        status, title = KINDS[kind]
        by_status.setdefault(status, {})[kind] = title
    return {status: _problem_answer(status, named) for status, named in sorted(by_status.items())}


def _problem_answer(status: int, named: Mapping[str, str]) -> dict[str, Any]:
    examples = {
        kind: {"type": f"urn:parley:problem:{kind}", "title": title, "status": status}
        for kind, title in named.items()
    }
    said: dict[str, Any] = {
        "description": "; ".join(f"`{kind}`: {title}" for kind, title in named.items()),
        "content": {
            MEDIA_TYPE: {"schema": schema_of(ProblemView), "examples": _named(examples)},
        },
    }
    if status in {429, 503}:
        said["headers"] = {
            "Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}
        }
    return said


def _named(examples: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"value": value} for name, value in examples.items()}


def _inlined(value: Any, definitions: Mapping[str, Any]) -> Any:
    """Put definitions where they are referred to. No model here holds itself."""
    if isinstance(value, list):
        return [_inlined(item, definitions) for item in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("$ref")
    if isinstance(reference, str):
        rest = {key: item for key, item in value.items() if key != "$ref"}
        return _inlined(definitions[reference.rpartition("/")[2]] | rest, definitions)
    return {key: _inlined(item, definitions) for key, item in value.items()}
