"""End-of-turn models by the names that agents' files use."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from services.agent.providers import base
from services.agent.providers.registry import Entry, Options, Secrets


class SmartTurnOptions(Options):
    """`smart_turn: {path: /models/smart-turn-v3.2-cpu.onnx}`."""

    path: Path
    timeout_s: float = Field(0.5, gt=0, le=5)


def _open_smart_turn(
    options: SmartTurnOptions, _language: str, _secrets: Secrets
) -> base.EndOfTurn:
    from services.agent.turn_models.smart_turn import SmartTurn, load_model

    return SmartTurn(load_model(options.path), timeout_s=options.timeout_s)


END_OF_TURN: dict[str, Entry[base.EndOfTurn]] = {
    "smart_turn": Entry(SmartTurnOptions, _open_smart_turn, needs_key=False)
}
"""What there is; nothing is loaded before an agent asks for it."""
