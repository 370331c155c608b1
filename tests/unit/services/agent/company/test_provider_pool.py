"""The worker's providers: made once for all that need the same, closed by the last of them."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import pytest

from services.agent.agents.file import ProviderChoice
from services.agent.company.provider_pool import ProviderPool
from services.agent.providers.errors import FailureCause, ProviderUnavailable
from services.agent.providers.registry import Entry, Registry
from tests.support.agents import FixedSecrets
from tests.support.workshop import AnyOptions, Providers


def choice(name: str, **options: Any) -> ProviderChoice:
    return ProviderChoice(name=name, options=options)


@pytest.fixture
def providers() -> Providers:
    return Providers()


@pytest.fixture
def pool(providers: Providers) -> ProviderPool:
    return ProviderPool(providers.registry(), FixedSecrets(OPENAI_API_KEY="k", ACME_API_KEY="k"))


@pytest.mark.parametrize(
    ("wanted", "has_key"),
    [
        (choice("offline"), True),
        (choice("openai"), True),
        (choice("deepgram"), False),
        (choice("openai", api_key_env="OTHER_KEY"), False),
        (choice("openai", api_key_env="ACME_API_KEY"), True),
        (choice("deepgram", api_key_env=""), True),
        (choice("livekit:acme"), True),
        (choice("livekit:other"), False),
    ],
)
def test_a_key_is_looked_for_where_the_choice_says(
    pool: ProviderPool, wanted: ProviderChoice, has_key: bool
) -> None:
    assert pool.has_key("tts", wanted) is has_key


async def test_who_needs_the_same_shares_it(pool: ProviderPool, providers: Providers) -> None:
    first = await pool.take("tts", choice("openai", model="a"), "en")
    again = await pool.take("tts", choice("openai", model="a"), "en")
    assert first.part is again.part
    assert pool.users() == [2]
    await pool.give_back(first.key)
    assert not providers.closed
    await pool.give_back(again.key)
    assert providers.closed == {("tts", "openai"): 1}
    assert pool.users() == []


@pytest.mark.parametrize(
    ("name", "options", "language"),
    [("deepgram", {}, "en"), ("openai", {"model": "b"}, "en"), ("openai", {}, "hi")],
)
async def test_another_choice_is_another_provider(
    pool: ProviderPool, name: str, options: dict[str, Any], language: str
) -> None:
    await pool.take("stt", choice("openai"), "en")
    await pool.take("stt", choice(name, **options), language)
    assert pool.users() == [1, 1]


async def test_links_of_one_key_and_host_share_an_account(pool: ProviderPool) -> None:
    accounts = [
        (await pool.take("tts", choice("openai", **options), "en")).account
        for options in ({"model": "a"}, {"model": "b"}, {"base_url": "http://127.0.0.1:9"})
    ]
    assert accounts[0] == accounts[1] != accounts[2]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (choice("nobody"), "there is no tts of this name"),
        (choice("openai", colour="blue"), "its options do not fit: 1 faults"),
    ],
)
async def test_what_cannot_be_made_says_what_is_missing(
    pool: ProviderPool, wanted: ProviderChoice, reason: str
) -> None:
    with pytest.raises(ProviderUnavailable, match=reason) as caught:
        await pool.take("tts", wanted, "en")
    assert caught.value.cause is FailureCause.MISSING
    assert pool.users() == []


async def test_giving_back_what_was_never_taken_is_nothing(pool: ProviderPool) -> None:
    await pool.give_back("nothing")


async def test_everything_can_be_closed_whoever_uses_it(
    pool: ProviderPool, providers: Providers
) -> None:
    await pool.take("tts", choice("openai"), "en")
    await pool.take("tts", choice("offline"), "en")
    await pool.aclose()
    assert providers.closed == {("tts", "openai"): 1, ("tts", "offline"): 1}
    assert pool.users() == []


class Managed:
    """A provider that is to be entered and left."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    async def __aenter__(self) -> Self:
        self.steps.append("entered")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.steps.append("left")


class Closed:
    """A provider that is closed without waiting."""

    def __init__(self) -> None:
        self.steps = ["entered"]

    def close(self) -> None:
        self.steps.append("left")


@pytest.mark.parametrize("part", [Managed(), Closed()], ids=["context", "close"])
async def test_every_way_of_closing_is_known(part: Managed | Closed) -> None:
    entry: Entry[Any] = Entry(AnyOptions, lambda *_: part, needs_key=False)
    registry = Registry(stt={"openai": entry}, llm={}, tts={}, realtime={}, end_of_turn={})
    pool = ProviderPool(registry, FixedSecrets())
    taken = await pool.take("stt", choice("openai"), "en")
    assert part.steps == ["entered"]
    await pool.give_back(taken.key)
    assert part.steps == ["entered", "left"]


async def test_what_is_lent_is_neither_entered_nor_closed() -> None:
    """The worker's recogniser was started again for each language, and ended with an agent."""
    part = Managed()
    entry: Entry[Any] = Entry(AnyOptions, lambda *_: part, needs_key=False, is_lent=True)
    registry = Registry(stt={"offline": entry}, llm={}, tts={}, realtime={}, end_of_turn={})
    pool = ProviderPool(registry, FixedSecrets())
    taken = await pool.take("stt", choice("offline"), "en")
    assert taken.part is part
    await pool.give_back(taken.key)
    await pool.take("stt", choice("offline"), "en")
    await pool.aclose()
    assert part.steps == []


async def test_two_who_come_at_once_get_the_same() -> None:
    """Entering waits: the one who came meanwhile made another, which nobody ever closed."""

    class Slow(Managed):
        async def __aenter__(self) -> Self:
            await asyncio.sleep(0.01)
            return await super().__aenter__()

    made: list[Slow] = []

    def open_slow(*_: object) -> Slow:
        made.append(Slow())
        return made[-1]

    entry: Entry[Any] = Entry(AnyOptions, open_slow, needs_key=False)
    registry = Registry(stt={"openai": entry}, llm={}, tts={}, realtime={}, end_of_turn={})
    pool = ProviderPool(registry, FixedSecrets())
    first, second = await asyncio.gather(
        *(pool.take("stt", choice("openai"), "en") for _ in range(2))
    )
    assert first.part is second.part
    assert pool.users() == [2]
    await pool.aclose()
    assert [one.steps for one in made] == [["entered", "left"]]
