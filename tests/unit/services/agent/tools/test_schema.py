from __future__ import annotations

from typing import Any

import pytest

from services.agent.tools.schema import misfit, schema_fault

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "day": {"type": "string", "enum": ["monday", "sunday"]},
        "guests": {"type": "integer", "minimum": 1, "maximum": 8},
        "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "name": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "kind": {"const": "table"},
        "where": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": {"type": "boolean"},
        },
        "either": {"type": ["string", "integer"]},
    },
    "required": ["day"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"guests": 8, "share": 0.5, "name": "abc", "tags": ["a"], "note": None, "kind": "table"},
        {"guests": 4.0, "share": 0.9, "where": {"city": "Pune", "near": True}, "either": 3},
    ],
)
def test_arguments_that_fit_are_let_through(more: dict[str, Any]) -> None:
    assert misfit({"day": "sunday", **more}, SCHEMA) is None


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"day": None}, "The argument 'day' must be of type string."),
        ({"day": "friday"}, "The argument 'day' must be one of monday, sunday."),
        ({"guests": 0}, "The argument 'guests' must be at least 1."),
        ({"guests": 9}, "The argument 'guests' must be at most 8."),
        ({"guests": True}, "The argument 'guests' must be of type integer."),
        ({"guests": 1.5}, "The argument 'guests' must be of type integer."),
        ({"share": 0}, "The argument 'share' must be more than 0."),
        ({"share": 1}, "The argument 'share' must be less than 1."),
        ({"name": "a"}, "The argument 'name' must have at least 2 characters."),
        ({"name": "abcde"}, "The argument 'name' must have at most 4 characters."),
        ({"name": "AB"}, "The argument 'name' must match the pattern ^[a-z]+$."),
        ({"tags": []}, "The argument 'tags' must have at least 1 entries."),
        ({"tags": ["a"] * 3}, "The argument 'tags' must have at most 2 entries."),
        ({"tags": ["a", 1]}, "The argument 'tags[1]' must be of type string."),
        ({"note": 1}, "The argument 'note' must be of type string."),
        ({"kind": "chair"}, "The argument 'kind' must be 'table'."),
        ({"where": {}}, "The argument 'where.city' is missing."),
        ({"where": {"city": "a", "b": 1}}, "The argument 'where.b' must be of type boolean."),
        ({"either": []}, "The argument 'either' must be of type string or integer."),
        ({"other": 1}, "There is no argument 'other'."),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(more: dict[str, Any], sentence: str) -> None:
    assert misfit({"day": "sunday", **more}, SCHEMA) == sentence


def test_a_missing_argument_is_named() -> None:
    assert misfit({}, SCHEMA) == "The argument 'day' is missing."
    assert misfit([], SCHEMA) == "The arguments must be of type object."


def test_a_list_of_anything_fits_where_nothing_is_said_of_its_entries() -> None:
    assert misfit([1, "a"], {"type": "array"}) is None


def test_values_nested_without_end_are_refused() -> None:
    schema: dict[str, Any] = {"type": "array"}
    schema["items"] = schema
    value: list[Any] = []
    for _ in range(40):
        value = [value]
    assert "too deeply" in (misfit(value, schema) or "")
    assert "too deeply" in (schema_fault({"type": "object", "properties": {"a": schema}}) or "")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "of type object"),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, "unknown type 'text'"),
        ({"type": "object", "properties": []}, "not a mapping"),
        ({"type": "object", "properties": {"a": 1}}, "parameters.a is not a schema"),
        ({"type": "object", "required": "a"}, "not a list"),
        ({"type": "object", "required": ["a"]}, "requires 'a'"),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "regular expression"),
    ],
)
def test_a_faulty_schema_is_named(schema: dict[str, Any], words: str) -> None:
    assert words in (schema_fault(schema) or "")


def test_a_good_schema_has_no_fault() -> None:
    assert schema_fault(SCHEMA) is None
