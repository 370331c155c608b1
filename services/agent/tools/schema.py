"""PURE. Whether a model's arguments fit a tool's JSON schema, and if not, one sentence why.

The part of JSON schema that tools need: type, properties, required, additionalProperties, enum,
const, anyOf, items, bounds of numbers, texts and lists, pattern. Other keywords are passed over.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_MAX_DEPTH = 16
_BOUNDS: tuple[tuple[str, Callable[[float, float], bool], str], ...] = (
    ("minimum", operator.lt, "must be at least"),
    ("maximum", operator.gt, "must be at most"),
    ("exclusiveMinimum", operator.le, "must be more than"),
    ("exclusiveMaximum", operator.ge, "must be less than"),
)


def misfit(value: Any, schema: Mapping[str, Any], name: str = "") -> str | None:
    """Return what is wrong with a value as one plain sentence, None when it fits."""
    return _misfit(value, schema, name, _MAX_DEPTH)


def schema_fault(schema: Mapping[str, Any]) -> str | None:
    """Return why a schema cannot be one of a tool's parameters, None when it can."""
    if schema.get("type") != "object":
        return "the parameters must be of type object"
    return _schema_fault(schema, "parameters", _MAX_DEPTH)


def _schema_fault(schema: Any, where: str, depth: int) -> str | None:
    if not isinstance(schema, dict):
        return f"{where} is not a schema"
    if depth == 0:
        return f"{where} is nested too deeply"
    types = _types(schema)
    if unknown := [t for t in types if t not in _TYPES]:
        return f"{where} has the unknown type {unknown[0]!r}"
    if not isinstance(schema.get("required", []), list):
        return f"required of {where} is not a list"
    try:
        re.compile(schema.get("pattern", ""))
    except (re.error, TypeError):
        return f"the pattern of {where} is not a regular expression"
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        return f"properties of {where} is not a mapping"
    if missing := [n for n in schema.get("required", []) if n not in properties]:
        return f"{where} requires {missing[0]!r}, which is not among its properties"
    inner = [(f"{where}.{name}", part) for name, part in properties.items()]
    inner += [(f"items of {where}", schema["items"])] if "items" in schema else []
    inner += [(f"anyOf of {where}", part) for part in schema.get("anyOf", [])]
    return next(filter(None, (_schema_fault(part, at, depth - 1) for at, part in inner)), None)


def _types(schema: Mapping[str, Any]) -> Sequence[str]:
    kind = schema.get("type", ())
    return (kind,) if isinstance(kind, str) else tuple(kind)


def _misfit(value: Any, schema: Mapping[str, Any], name: str, depth: int) -> str | None:
    who = f"The argument {name!r}" if name else "The arguments"
    if depth == 0:
        return f"{who} is nested too deeply."
    types = _types(schema)
    if types and not any(_is_of(value, kind) for kind in types):
        return f"{who} must be of type {' or '.join(types)}."
    if "const" in schema and value != schema["const"]:
        return f"{who} must be {schema['const']!r}."
    if "enum" in schema and value not in schema["enum"]:
        return f"{who} must be one of {', '.join(str(one) for one in schema['enum'])}."
    if options := schema.get("anyOf"):
        faults = [_misfit(value, option, name, depth - 1) for option in options]
        if None not in faults:
            return faults[0]
    if isinstance(value, str):
        return _text_misfit(value, schema, who)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return next(
            (
                f"{who} {words} {schema[key]}."
                for key, is_beyond, words in _BOUNDS
                if key in schema and is_beyond(value, schema[key])
            ),
            None,
        )
    if isinstance(value, list):
        return _list_misfit(value, schema, name, who, depth)
    if isinstance(value, dict):
        return _object_misfit(value, schema, name, depth)
    return None


def _is_of(value: Any, kind: str) -> bool:
    if kind != "boolean" and isinstance(value, bool):
        return False
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, (object,)))


def _text_misfit(value: str, schema: Mapping[str, Any], who: str) -> str | None:
    if len(value) < schema.get("minLength", 0):
        return f"{who} must have at least {schema['minLength']} characters."
    if len(value) > schema.get("maxLength", len(value)):
        return f"{who} must have at most {schema['maxLength']} characters."
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return f"{who} must match the pattern {schema['pattern']}."
    return None


def _list_misfit(
    value: list[Any], schema: Mapping[str, Any], name: str, who: str, depth: int
) -> str | None:
    if len(value) < schema.get("minItems", 0):
        return f"{who} must have at least {schema['minItems']} entries."
    if len(value) > schema.get("maxItems", len(value)):
        return f"{who} must have at most {schema['maxItems']} entries."
    items = schema.get("items")
    if not isinstance(items, Mapping):
        return None
    faults = (_misfit(one, items, f"{name}[{at}]", depth - 1) for at, one in enumerate(value))
    return next(filter(None, faults), None)


def _object_misfit(
    value: dict[str, Any], schema: Mapping[str, Any], name: str, depth: int
) -> str | None:
    path = f"{name}." if name else ""
    for required in schema.get("required", ()):
        if required not in value:
            return f"The argument {path + required!r} is missing."
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    for key, part in value.items():
        if key in properties:
            fault = _misfit(part, properties[key], path + key, depth - 1)
        elif others is False:
            fault = f"There is no argument {path + key!r}."
        elif isinstance(others, Mapping):
            fault = _misfit(part, others, path + key, depth - 1)
        else:
            fault = None
        if fault is not None:
            return fault
    return None
