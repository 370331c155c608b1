"""PURE. Whether a row of a list can be dialled, and what is wrong with one that can't."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.dialer.calls.order import check_room
from services.dialer.campaigns.model import RESERVED_VARIABLES, NewRow
from services.dialer.campaigns.windows import Windows
from services.dialer.errors import InvalidOrder
from services.dialer.numbers.e164 import NumberCheck, e164
from services.dialer.numbers.zones import is_zone, zones_of

MAX_VARIABLES = 32
MAX_KEY_CHARS = 64
MAX_VALUE_CHARS = 512
_MAX_SHOWN_CHARS = 32
AGENT_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"
_AGENT = re.compile(AGENT_PATTERN)
_NUMBER_COLUMNS = ("to", "phone_number", "phone", "number")
_ZONE_COLUMNS = ("zone", "time_zone")
_AGENT_COLUMN = "agent"
_KNOWN = frozenset({"to", "variables", "zone", "agent", "line"})


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is not added.

    `line` is where it stands: a line of the text, or its place in a list, from 1.
    """

    line: int
    number: str | None
    problem: str

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return {"line": self.line, "number": self.number, "problem": self.problem}


@dataclass(frozen=True, slots=True)
class RowRules:
    """What the rows of a campaign are held against.

    `windows` decide whether a number may be of an unknown place; `variables` are the campaign's
    own, which every row gets.
    """

    windows: Windows
    variables: Mapping[str, str] = field(default_factory=dict)
    number_check: NumberCheck = NumberCheck.POSSIBLE

    def check(
        self,
        line: int,
        to: str,
        *,
        zone: str | None = None,
        agent: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> NewRow | BadRow:
        """Return the row as it is added, or what is wrong with it first."""
        try:
            number = e164(to, "to", self.number_check)
            zones = self._zones(number, zone)
            if agent is not None and not _AGENT.fullmatch(agent):
                raise InvalidOrder("agent", "1 to 64 letters, digits, dots, - or _")
            if variables:
                self._check_variables(variables)
        except InvalidOrder as exc:
            return BadRow(line, _shown(to), str(exc))
        return NewRow(number, variables or {}, zones, agent, line)

    def _zones(self, number: str, zone: str | None) -> tuple[str, ...]:
        if zone is not None:
            if not is_zone(zone):
                raise InvalidOrder("zone", "no time zone such as Asia/Kolkata")
            return (zone,)
        zones = zones_of(number)
        if not zones and not self.windows.is_always and self.windows.zone is None:
            raise InvalidOrder(
                "zone", "can't be told from this number: name it here or in the windows"
            )
        return zones

    def _check_variables(self, variables: Mapping[str, str]) -> None:
        check_variables(variables)
        if not self.variables:
            return
        together = {**self.variables, **variables}
        if len(together) > MAX_VARIABLES:
            raise InvalidOrder("variables", f"at most {MAX_VARIABLES} with the campaign's own")
        check_room(together)


def check_variables(variables: Mapping[str, str]) -> None:
    """Check what goes into the prompt of a call and stays with its record.

    Raises:
        InvalidOrder: too many, too long, more in all than a worker can be told, of a name that the
            platform keeps for itself, or not Unicode.
    """
    if len(variables) > MAX_VARIABLES:
        raise InvalidOrder("variables", f"at most {MAX_VARIABLES}")
    for key, value in variables.items():
        check_variable_name(key)
        if len(value) > MAX_VALUE_CHARS:
            raise InvalidOrder("variables", f"values have up to {MAX_VALUE_CHARS} characters")
        if not (key + value).isascii() and _has_surrogates(key + value):
            raise InvalidOrder("variables", "hold text that is not Unicode")
    check_room(variables)


def check_variable_name(name: str) -> None:
    """Check a variable's name. Raises InvalidOrder."""
    if not 0 < len(name) <= MAX_KEY_CHARS:
        raise InvalidOrder("variables", f"names have 1 to {MAX_KEY_CHARS} characters")
    if name in RESERVED_VARIABLES:
        raise InvalidOrder("variables", f"{name} is a name that the platform keeps for itself")


def row_of_json(value: object, place: int, rules: RowRules) -> NewRow | BadRow:
    """Judge one of a list's rows as JSON has it.

    Args:
        value: `{"to", "variables"?, "zone"?, "agent"?, "line"?}` if it is sound.
        place: in the list, from 1; where it gives no line of its own.
        rules: the campaign's.
    """
    if not isinstance(value, dict):
        return BadRow(place, None, "is no object")
    line, to = value.get("line"), value.get("to")
    if line is None:
        line = place
    if not isinstance(line, int) or isinstance(line, bool) or not 0 < line < 2**31:
        return BadRow(place, None, "line: a number from 1 on")
    if not isinstance(to, str):
        return BadRow(line, None, "to: must be a text")
    unknown = value.keys() - _KNOWN
    if unknown:
        return BadRow(line, _shown(to), f"has {_clean(min(unknown))}, which is no part of a row")
    zone, agent, variables = value.get("zone"), value.get("agent"), value.get("variables") or {}
    for name, text in (("zone", zone), ("agent", agent)):
        if text is not None and not isinstance(text, str):
            return BadRow(line, _shown(to), f"{name}: must be a text")
    if not isinstance(variables, dict) or not all(
        isinstance(item, str) for item in variables.values()
    ):
        return BadRow(line, _shown(to), "variables: must be texts by name")
    return rules.check(line, to, zone=zone or None, agent=agent or None, variables=variables)


class BadHeader(ValueError):
    """The first line of a table that can't be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of a table holds what; all that are not named here are variables."""

    width: int
    to: int
    zone: int | None
    agent: int | None
    variables: tuple[tuple[int, str], ...]

    @classmethod
    def of_header(cls, names: Sequence[str]) -> Columns:
        """Read a header.

        Raises:
            BadHeader: there is no column of numbers, or one that can't be a variable.
        """
        trimmed = [name.strip() for name in names]
        places = {name.lower(): place for place, name in reversed(list(enumerate(trimmed)))}
        to = next((places[name] for name in _NUMBER_COLUMNS if name in places), None)
        if to is None:
            raise BadHeader(f"there is no column {' or '.join(_NUMBER_COLUMNS)}")
        zone = next((places[name] for name in _ZONE_COLUMNS if name in places), None)
        agent = places.get(_AGENT_COLUMN)
        variables = tuple(
            (place, name) for place, name in enumerate(trimmed) if place not in {to, zone, agent}
        )
        _check_names([name for _, name in variables])
        return cls(len(names), to, zone, agent, variables)

    def judge(self, line: int, values: Sequence[str], rules: RowRules) -> NewRow | BadRow:
        """Judge a row of the table. Empty values are as if they were not there."""
        if len(values) != self.width:
            has, wanted = len(values), self.width
            return BadRow(line, None, f"has {has} values where the header has {wanted}")
        zone = values[self.zone].strip() if self.zone is not None else ""
        agent = values[self.agent].strip() if self.agent is not None else ""
        variables = {name: values[place] for place, name in self.variables if values[place]}
        return rules.check(
            line, values[self.to], zone=zone or None, agent=agent or None, variables=variables
        )


def _check_names(names: Sequence[str]) -> None:
    if len(names) > MAX_VARIABLES:
        raise BadHeader(f"there are more than {MAX_VARIABLES} columns of variables")
    if len(set(names)) < len(names):
        raise BadHeader("two columns have the same name")
    try:
        for name in names:
            check_variable_name(name)
    except InvalidOrder as exc:
        raise BadHeader(f"a column of {exc}") from exc


def _shown(number: str) -> str:
    return _clean(number[:_MAX_SHOWN_CHARS])


def _clean(text: str) -> str:
    return text[:MAX_KEY_CHARS].encode("utf-8", "replace").decode()


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= sign <= "\udfff" for sign in text)
