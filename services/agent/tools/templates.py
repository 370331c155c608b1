"""PURE. The parts of an HTTP tool's request, filled from a model's arguments and a call's facts.

Places are `{name}`, `{call.from}`, `{call.to}`, `{call.id}`, `{metadata.x}`,
`{variables.x}` and `{secret.NAME}`.
What fills a place stays within it: in a URL it is percent-encoded whole, so that it can add neither
a path segment nor a parameter; in a header it is one line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

_PLACE = re.compile(r"{([A-Za-z_][\w-]*(?:\.[\w.-]+)?)}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_MISSING = object()


class Unfillable(ValueError):
    """A place cannot be filled so; the text is for the model and names no secret."""


@dataclass(frozen=True, slots=True)
class Values:
    """What fills the places of one request.

    Attributes:
        arguments: of the model, fitting the tool's schema.
        facts: `call.from` and the like, `metadata.x`, `variables.x`.
        secrets: by name; in no error and no result.
    """

    arguments: Mapping[str, Any]
    facts: Mapping[str, str]
    secrets: Mapping[str, str]

    def get(self, place: str) -> Any:
        """Return what fills a place, `_MISSING` when an optional argument was not given."""
        kind, dot, name = place.partition(".")
        if not dot:
            return self.arguments.get(place, _MISSING)
        if kind == "secret":
            return self.secrets.get(name, "")
        return self.facts.get(place, "")


def places_in(template: Any) -> Iterator[str]:
    """Yield every place of a template, of all texts within it when it is a structure."""
    if isinstance(template, str):
        yield from _PLACE.findall(template)
    elif isinstance(template, Mapping):
        for key, part in template.items():
            yield from places_in(key)
            yield from places_in(part)
    elif isinstance(template, list | tuple):
        for part in template:
            yield from places_in(part)


def url_fault(template: str) -> str | None:
    """Return why a URL template cannot be used, None when it can: host and port are fixed."""
    try:
        parts = urlsplit(template)
        _ = parts.port
    except ValueError:
        return "the URL cannot be read"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "the URL must begin with http:// or https:// and a host"
    if "{" in parts.netloc or "}" in parts.netloc:
        return "the host of the URL cannot be a place to fill"
    if "@" in parts.netloc:
        return "the URL must not hold a user or password; use a header"
    if parts.fragment:
        return "the URL must have no fragment"
    return None


def fill_url(template: str, query: Mapping[str, str], values: Values) -> str:
    """Return a URL with every place percent-encoded and the query added.

    A query entry that is one place alone is left out when its argument was not given.

    Raises:
        Unfillable: a path place that would be empty or walk up the path.
    """
    head, mark, tail = template.partition("?")
    scheme, _, rest = head.partition("://")
    host, slash, path = rest.partition("/")
    segments = [_segment(part, values) for part in path.split("/")] if slash else []
    parameters = [_fill(tail, values, _encode)] if mark and tail else []
    for name, value in query.items():
        filled = _fill_query(value, values)
        if filled is not None:
            parameters.append(f"{quote(name, safe='')}={filled}")
    url = f"{scheme}://{host}{slash}{'/'.join(segments)}"
    return f"{url}?{'&'.join(parameters)}" if parameters else url


def _segment(template: str, values: Values) -> str:
    filled = _fill(template, values, _encode)
    if filled != template and filled in ("", ".", ".."):
        names = ", ".join(_PLACE.findall(template))
        raise Unfillable(f"The argument {names} must not be empty or dots alone.")
    return filled


def _fill_query(template: str, values: Values) -> str | None:
    alone = _PLACE.fullmatch(template)
    if alone is not None and values.get(alone[1]) in (_MISSING, None):
        return None
    if not _PLACE.search(template):
        return _encode(template)
    return "".join(
        _encode(_text(values.get(part))) if is_place else _encode(part)
        for part, is_place in _parts(template)
    )


def _parts(template: str) -> Iterator[tuple[str, bool]]:
    for number, part in enumerate(_PLACE.split(template)):
        yield part, number % 2 == 1


def fill_header(template: str, values: Values) -> str:
    """Return a header's value, one line without control characters."""
    return _CONTROL.sub(" ", _fill(template, values, lambda text: text)).strip()


def fill_body(template: Any, values: Values) -> Any:
    """Return a body with its places filled.

    A text that is one place alone becomes the argument itself, with its type; when the argument
    was not given, its entry is left out.
    """
    filled = _fill_part(template, values)
    return None if filled is _MISSING else filled


def _fill_part(template: Any, values: Values) -> Any:
    if isinstance(template, str):
        alone = _PLACE.fullmatch(template)
        if alone is not None:
            return values.get(alone[1])
        return _fill(template, values, lambda text: text)
    if isinstance(template, Mapping):
        filled = {key: _fill_part(part, values) for key, part in template.items()}
        return {key: part for key, part in filled.items() if part is not _MISSING}
    if isinstance(template, list | tuple):
        entries = [_fill_part(part, values) for part in template]
        return [part for part in entries if part is not _MISSING]
    return template


def _fill(template: str, values: Values, encode: Callable[[str], str]) -> str:
    return _PLACE.sub(lambda match: encode(_text(values.get(match[1]))), template)


def _encode(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _text(value: Any) -> str:
    if value is _MISSING or value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
