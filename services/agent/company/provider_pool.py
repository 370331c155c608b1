"""The worker's providers: made when an agent first needs one, shared by all that need the same."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import ValidationError

from services.agent.agents.file import ProviderChoice
from services.agent.providers.errors import FailureCause, ProviderUnavailable
from services.agent.providers.names import Kind, key_variable
from services.agent.providers.registry import Registry, Secrets, read_options

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Held:
    """A provider in use, and what closes it."""

    part: Any
    users: int
    stack: AsyncExitStack


@dataclass(frozen=True, slots=True)
class Taken:
    """A provider of one chain.

    `key` gives it back; `account` tells whose breaker it shares, see chain.link.Link.
    """

    name: str
    part: Any
    key: str
    account: str


class ProviderPool:
    """Makes, shares and closes providers.

    Args:
        registry: which there are.
        secrets: where their keys come from.
    """

    def __init__(self, registry: Registry, secrets: Secrets) -> None:
        self._registry = registry
        self._secrets = secrets
        self._held: dict[str, _Held] = {}
        self._making = asyncio.Lock()

    def has_key(self, kind: Kind, choice: ProviderChoice) -> bool:
        """Whether a provider has the key it needs, or needs none."""
        entry = self._registry.entry(kind, choice.name)
        variable = key_variable(kind, choice.name, choice.options)
        if not variable or (entry is not None and not entry.needs_key):
            return True
        return self._secrets.get(variable) is not None

    async def take(self, kind: Kind, choice: ProviderChoice, language: str) -> Taken:
        """Return a provider for an agent.

        Raises:
            ProviderUnavailable: it can't be made; says what is missing.
        """
        key = json.dumps([kind, choice.name, language, choice.options], sort_keys=True)
        async with self._making:
            held = self._held.get(key)
            if held is None:
                held = self._held[key] = await self._make(kind, choice, language)
                _log.info("provider_opened", kind=kind, provider=choice.name, language=language)
            held.users += 1
        variable = key_variable(kind, choice.name, choice.options)
        account = f"{variable} {choice.options.get('base_url', '')}"
        return Taken(choice.name, held.part, key, account)

    async def _make(self, kind: Kind, choice: ProviderChoice, language: str) -> _Held:
        entry = self._registry.entry(kind, choice.name)
        if entry is None:
            detail = f"there is no {kind} of this name here"
            raise ProviderUnavailable(choice.name, detail, FailureCause.MISSING)
        try:
            options = read_options(entry, choice.name, choice.options)
        except ValidationError as exc:
            detail = f"its options do not fit: {exc.error_count()} faults"
            raise ProviderUnavailable(choice.name, detail, FailureCause.MISSING) from None
        part = entry.open(options, language, self._secrets)
        stack = AsyncExitStack()
        if entry.is_lent:
            pass
        elif isinstance(part, AbstractAsyncContextManager):
            part = await stack.enter_async_context(part)
        elif hasattr(part, "aclose"):
            stack.push_async_callback(part.aclose)
        elif hasattr(part, "close"):
            stack.callback(part.close)
        return _Held(part, 0, stack)

    async def give_back(self, key: str) -> None:
        """An agent needs a provider no more; the last one closes it."""
        held = self._held.get(key)
        if held is None:
            return
        held.users -= 1
        if held.users == 0:
            del self._held[key]
            await held.stack.aclose()

    def users(self) -> list[int]:
        """How many agents use each provider that is open."""
        return [held.users for held in self._held.values()]

    async def aclose(self) -> None:
        """Close everything, whoever uses it."""
        while self._held:
            _, held = self._held.popitem()
            await held.stack.aclose()
