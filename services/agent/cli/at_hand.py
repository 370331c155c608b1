"""An agent read from its file, with the tools and the brain that a worker would give it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from services.agent.agents.load import Loader
from services.agent.cli.eval_source import AgentAtHand
from services.agent.company.casting import Workshop, open_brain
from services.agent.company.provider_pool import ProviderPool
from services.agent.providers.base import Brain
from services.agent.providers.catalogue import make_registry
from services.agent.providers.chain.link import Breakers
from services.agent.settings import AgentSettings
from services.agent.tools.toolbox import ToolBox
from shared.metrics.catalogue import ProviderMetrics
from shared.runtime.clock import SystemClock
from shared.runtime.secrets import EnvironmentSecrets


def load_at_hand(path: Path) -> AgentAtHand:
    """Read an agent's file; settings that change files hold here too.

    Raises:
        BadAgent, a ValueError: every fault, one line each.
    """
    settings = AgentSettings()
    secrets = EnvironmentSecrets.read()
    registry = make_registry()
    agent = Loader(registry, secrets).load(path).adapted(settings.overrides, settings.agent_default)
    metrics = ProviderMetrics(CollectorRegistry())

    @asynccontextmanager
    async def open_its_brain(toolbox: ToolBox) -> AsyncIterator[Brain]:
        async with AsyncExitStack() as stack:
            pool = ProviderPool(registry, secrets)
            stack.push_async_callback(pool.aclose)
            workshop = Workshop(
                pool=pool,
                breakers=Breakers(metrics, SystemClock()),
                metrics=metrics,
                secrets=secrets,
                defaults=settings,
            )
            yield await stack.enter_async_context(open_brain(agent, workshop, toolbox))

    def open_tools() -> ToolBox:
        return ToolBox.build(agent.file, secrets, python_folder=settings.agent_tools)

    return AgentAtHand(agent.file, open_tools, open_its_brain)
