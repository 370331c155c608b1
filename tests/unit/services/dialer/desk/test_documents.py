"""How routes say what they take and answer."""

from __future__ import annotations

import json

import pytest
from pydantic import BaseModel, Field

from services.dialer.desk.documents import (
    answer_of,
    body_of,
    events_answer,
    problems,
    schema_of,
    text_answer,
)
from shared.protocol.call import CallRecord


class Inner(BaseModel):
    """A part."""

    x: int


class Outer(BaseModel):
    """A whole."""

    one: Inner = Field(description="the one")
    many: list[Inner] = []


def test_a_schema_refers_to_nothing() -> None:
    for model in (Outer, CallRecord):
        schema = schema_of(model)
        assert "$ref" not in json.dumps(schema)
        assert "$defs" not in schema
    assert schema_of(Outer)["properties"]["one"]["properties"] == {
        "x": {"title": "X", "type": "integer"}
    }
    assert schema_of(Outer)["properties"]["one"]["description"] == "the one"


def test_who_changes_a_schema_changes_nobody_elses() -> None:
    schema_of(Outer)["properties"].clear()
    assert schema_of(Outer)["properties"]


def test_a_body_has_its_examples_and_may_be_of_other_kinds_too() -> None:
    text = {"text/csv": {"schema": {"type": "string"}}}
    body = body_of(Outer, {"one": {"one": {"x": 1}}}, others=text)["requestBody"]
    assert body["required"] is True
    assert body["content"]["application/json"]["examples"] == {"one": {"value": {"one": {"x": 1}}}}
    assert body["content"]["text/csv"] == text["text/csv"]


def test_answers_have_a_schema_an_example_and_headers() -> None:
    good = answer_of(201, Outer, {"one": {"x": 1}}, "Made.", headers={"Location": "where"})[201]
    assert good["description"] == "Made."
    assert good["content"]["application/json"]["example"] == {"one": {"x": 1}}
    assert good["headers"]["Location"]["description"] == "where"
    assert answer_of(204, None, None, "Gone.") == {204: {"description": "Gone."}}
    assert text_answer(200, "text/csv", "a,b", "A table.")[200]["content"]["text/csv"]["example"]
    event = events_answer("data: {}\n\n", "Events.")[200]["content"]["text/event-stream"]
    assert event["schema"]["required"] == ["data"]


def test_problems_are_told_by_status_and_those_of_every_route_come_by_themselves() -> None:
    told = problems("unknown-call", "not-found", has_body=True)
    assert list(told) == sorted(told)
    assert set(told) == {401, 403, 404, 408, 413, 415, 422, 429, 503}
    examples = told[404]["content"]["application/problem+json"]["examples"]
    assert set(examples) == {"unknown-call", "not-found"}
    assert examples["unknown-call"]["value"]["status"] == 404
    assert "Retry-After" in told[429]["headers"]
    assert set(problems(is_stored=False)) == {401, 403, 422, 429}
    with pytest.raises(KeyError):
        problems("no-such-kind")
