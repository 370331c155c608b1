"""PURE. What tools have done to the world for the turn in hand, as one text among the variables.

Another worker that has the same turn answered again reads it, and does nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from services.agent.providers import base
from services.agent.tools.base import ToolResult

UNKNOWN: Final = (
    "(begun already when the line moved; whether it came to its end is not known. Don't do it "
    "again; tell the caller that it is being seen to.)"
)
_MAX_DEEDS = 16
_MAX_CHARS = 64_000
_KINDS: Final = {
    kind.__name__: kind
    for kind in (
        *(base.Say, base.EndCall, base.Transfer, base.SendDigits, base.GatherDigits),
        base.SwitchLanguage,
    )
}


@dataclass(frozen=True, slots=True)
class Deed:
    """One use of a tool that acts. `result` is None while it is at work.

    `wish` is the tool's name and its arguments in one form, see ToolRuns.
    """

    wish: tuple[str, str]
    used: base.ToolUsed
    result: ToolResult | None = None

    @property
    def outcome(self) -> ToolResult:
        """What the model is told when it wants the same again."""
        return self.result or ToolResult(UNKNOWN, outcome="failed")


def write_deeds(deeds: Iterable[Deed]) -> str:
    """Return deeds as one text; the oldest are left out when it would be too long."""
    rows = [_row(deed) for deed in deeds][-_MAX_DEEDS:]
    while rows and len(text := json.dumps(rows, ensure_ascii=False, default=str)) > _MAX_CHARS:
        rows.pop(0)
    return text if rows else ""


def read_deeds(text: str) -> tuple[Deed, ...]:
    """Read what `write_deeds` wrote; anything else is no deeds."""
    try:
        return tuple(_deed(row) for row in json.loads(text)) if text else ()
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()


def _row(deed: Deed) -> dict[str, Any]:
    row: dict[str, Any] = {"wish": list(deed.wish), "used": asdict(deed.used)}
    if (result := deed.result) is not None:
        pieces = [p for p in result.pieces if type(p).__name__ in _KINDS]
        row["result"] = {
            "text": result.text,
            "ends_reply": result.ends_reply,
            "outcome": result.outcome,
            "pieces": [{"kind": type(piece).__name__, **asdict(piece)} for piece in pieces],
        }
    return row


def _deed(row: Mapping[str, Any]) -> Deed:
    name, arguments = row["wish"]
    used, kept = base.ToolUsed(**row["used"]), row.get("result")
    if kept is None:
        return Deed((name, arguments), used)
    pieces = []
    for piece in kept["pieces"]:
        fields = dict(piece)
        pieces.append(_KINDS[fields.pop("kind")](**fields))
    result = ToolResult(kept["text"], tuple(pieces), bool(kept["ends_reply"]), kept["outcome"])
    return Deed((name, arguments), used, result)
