from __future__ import annotations

from services.agent.agents.file import Limits
from services.agent.providers.chain.limits import ChainLimits


def test_an_agents_file_says_all_the_chain_lets_it_with_the_same_defaults() -> None:
    assert ChainLimits(**Limits().model_dump()) == ChainLimits()
