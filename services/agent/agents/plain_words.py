"""PURE. What pydantic finds wrong with a part of an agent's file, in words for its owner."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from services.agent.agents.faults import FieldPath, Problem, did_you_mean

_TAGS = ("builtin", "http", "python")
_KEY = "[key]"
_MEANT = "did you mean "

# Error types that need no context, with what to say.
_SIMPLE = {
    "missing": "is missing",
    "int_from_float": "should be a whole number",
    "finite_number": "should be a number that ends somewhere",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "dict_type": "should have fields below it",
    "model_type": "should have fields below it",
    "model_attributes_type": "should have fields below it",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}
# What a pattern of file.py means, by a piece of it that no other has.
_PATTERNS = (
    (r"^\+[1-9]", "should be a number with its country code, such as +918000000001"),
    ("{0,127}", "should be the name of an environment variable, such as BOOKING_KEY"),
    ("([A-Za-z_][A-Za-z0-9_]*)?", "should be the name of an environment variable, or empty"),
    ("{2,8})*", "should be a language, such as en or hi-IN"),
    ("[A-Za-z0-9_.-]{1,64}", "should be a name of letters, digits, dots and dashes"),
    ("{0,63}", "should be a name of letters, digits and underscores"),
    ("[0-9*#]", "should be keys of a phone: digits, * and #"),
    ("https?://", "should begin with http:// or https://"),
    (r":[A-Za-z_]\w*$", "should be module:function"),
)


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return what an error of `model` comes down to, each with its place in the data.

    A field that is missing because it is misspelt is named once.
    """
    details = error.errors(include_url=False)
    problems = [
        Problem(_path(detail["loc"]), _reason(cast("Mapping[str, Any]", detail), model))
        for detail in details
    ]
    misspelt = {
        (problem.path[:-1], problem.reason.partition(_MEANT)[2])
        for problem in problems
        if _MEANT in problem.reason
    }
    return [
        problem
        for problem, detail in zip(problems, details, strict=True)
        if detail["type"] != "missing"
        or (problem.path[:-1], f"{problem.path[-1]}?") not in misspelt
    ]


def _path(loc: tuple[int | str, ...]) -> FieldPath:
    """A place without the marks that pydantic adds: of a union's branch, of a dict's key."""
    return tuple(
        part
        for place, part in enumerate(loc)
        if part != _KEY
        and not (part in _TAGS and place == 2 and loc[0] == "tools" and isinstance(loc[1], int))
    )


def _reason(detail: Mapping[str, Any], model: type[BaseModel]) -> str:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"should be {words} {context[key]:g}"
    match kind:
        case "extra_forbidden":
            path = detail["loc"]
            return "is no field here" + did_you_mean(str(path[-1]), _fields_at(model, path[:-1]))
        case "literal_error" | "enum":
            return _choices(given, str(context["expected"]))
        case "string_type":
            end = "; put it in quotes" if isinstance(given, bool | int | float) else ""
            return f"should be text, not {_what(given)}{end}"
        case "int_type" | "int_parsing" | "float_type" | "float_parsing":
            return f"should be a number, not {_what(given)}"
        case "string_pattern_mismatch":
            return _pattern(str(context["pattern"]))
        case "string_too_long":
            return f"is longer than {context['max_length']} characters"
        case "too_long":
            return f"has more than {context['max_length']} entries"
        case "too_short" | "string_too_short":
            return "is empty"
        case "value_error":
            return str(context["error"])
    return str(detail["msg"]).replace("Input should", "should")


def _choices(given: Any, expected: str) -> str:
    names = [name.strip(" '") for name in expected.replace(" or ", ",").split(",")]
    if not isinstance(given, str):
        return f"should be one of {', '.join(names)}, not {_what(given)}"
    return f"{given!r} is not known here" + did_you_mean(given, names)


def _pattern(pattern: str) -> str:
    for piece, words in _PATTERNS:
        if piece in pattern:
            return words
    return "has a form that is not allowed"


def _what(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case Mapping():
            return "fields"
    return "a list"


def _fields_at(model: Any, path: tuple[int | str, ...]) -> set[str]:
    """The names of the fields that may stand at a place of a model."""
    found = [model]
    for part in path:
        if part in _TAGS:
            found = [
                kind for kind in found if ("python" in kind.model_fields) == (part == "python")
            ]
        else:
            found = [inner for kind in found for inner in _inside(kind, part)]
    return {name for kind in found for name in kind.model_fields}


def _inside(kind: type[BaseModel], part: int | str) -> list[type[BaseModel]]:
    if isinstance(part, int) or part not in kind.model_fields:
        return [kind]  # an entry of a list or of a dict: its models are known already
    return list(_models(kind.model_fields[part].annotation))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Annotated, Union, types.UnionType, tuple, list, dict):
        for inner in get_args(annotation):
            yield from _models(inner)
