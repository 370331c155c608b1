"""The shipped agents, for tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from services.agent.agents.load import load_flow
from services.agent.providers.offline.flow import Flow

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "agents"


@cache
def parley_flow() -> Flow:
    """The default agent's offline dialogue."""
    return load_flow(FOLDER / "flows" / "parley.yaml")
