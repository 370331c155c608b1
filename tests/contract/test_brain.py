"""What every Brain promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from services.agent.agents.file import AgentFile
from services.agent.dialogue.brain import LanguageBrain
from services.agent.providers.base import (
    Brain,
    CallFacts,
    Conversation,
    Digit,
    EndCall,
    Expect,
    Heard,
    Message,
    Piece,
    Say,
    Silence,
    Transfer,
    Words,
)
from services.agent.providers.chain.brain import FallbackBrain
from services.agent.providers.chain.link import Link
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.providers.errors import FailureCause, ProviderFailed
from services.agent.providers.offline.flow import FlowBrain
from services.agent.tools.toolbox import ToolBox
from shared.protocol.call import CallId, Direction
from tests.support.agents import parley_flow
from tests.support.faulty_providers import LIMITS, Meters
from tests.support.language_model import FakeLanguageModel
from tests.support.providers import FakeBrain

PARLEY = parley_flow()

FACTS = CallFacts(
    CallId("call-1"), "default", Direction.INBOUND, "+918000000001", "+918000000002", {}
)
CONFIRMED = ReplyConfirmation(is_given=True)
HEARD: tuple[Heard, ...] = (
    Words("what can you do", is_understood=True),
    Words("", is_understood=False, confidence=0.0),
    Words("purple elephants juggle", is_understood=True),
    Digit("5"),
    Digit("#"),
    Digit("*"),
    Silence(7.0, 1),
)


def language_brain() -> Brain:
    file = AgentFile(greeting="Hello, this is Parley.", prompt="You are Parley.")
    return LanguageBrain(file, FakeLanguageModel(), ToolBox([]))


def chain_whose_first_is_lost() -> Brain:
    lost = ProviderFailed("lost", "by script", FailureCause.UNREACHABLE)
    model = FakeBrain(greeting=(lost,), script=[[lost]] * 50)
    links: list[Link[Brain]] = [Link("lost", model), Link("flow", FlowBrain(PARLEY))]
    return FallbackBrain(links, LIMITS, Meters().breakers)


@pytest.fixture(
    params=[lambda: FlowBrain(PARLEY), language_brain, FakeBrain, chain_whose_first_is_lost],
    ids=["flow", "language", "fake", "chain"],
)
def brain(request: pytest.FixtureRequest) -> Brain:
    make: Callable[[], Brain] = request.param
    return make()


async def pieces_of(pieces: AsyncIterator[Piece]) -> list[Piece]:
    return [piece async for piece in pieces]


def assert_wellformed(pieces: list[Piece]) -> None:
    for place, piece in enumerate(pieces):
        match piece:
            case Say(text):
                assert text.strip()
            case Expect(expectation):
                assert all(phrase == phrase.lower().strip() for phrase in expectation.phrases)
            case EndCall() | Transfer():
                assert place == len(pieces) - 1


async def test_the_greeting_says_something(brain: Brain) -> None:
    pieces = await pieces_of(brain.open(FACTS, {}).greet())
    assert any(isinstance(piece, Say) for piece in pieces)
    assert_wellformed(pieces)


async def test_whatever_is_heard_gets_a_wellformed_reply(brain: Brain) -> None:
    for heard in HEARD:
        conversation = brain.open(FACTS, {})
        await pieces_of(conversation.greet())
        assert_wellformed(await pieces_of(conversation.reply(heard, [], CONFIRMED)))


async def test_words_always_get_an_answer(brain: Brain) -> None:
    conversation = brain.open(FACTS, {})
    await pieces_of(conversation.greet())
    for heard in HEARD[:3]:
        pieces = await pieces_of(conversation.reply(heard, [Message("caller", "...")], CONFIRMED))
        assert any(isinstance(piece, Say | EndCall) for piece in pieces)


async def test_variables_are_texts_and_are_replaced_not_changed(brain: Brain) -> None:
    conversation = brain.open(FACTS, {})
    await pieces_of(conversation.greet())
    before, copy = conversation.variables, dict(conversation.variables)
    await pieces_of(conversation.reply(HEARD[0], [], CONFIRMED))
    assert before == copy
    for key, value in conversation.variables.items():
        assert isinstance(key, str)
        assert isinstance(value, str)


async def test_another_worker_goes_on_from_the_variables(brain: Brain) -> None:
    first = brain.open(FACTS, {})
    await pieces_of(first.greet())
    await pieces_of(first.reply(HEARD[0], [], CONFIRMED))
    second = brain.open(FACTS, dict(first.variables))
    assert second.variables == first.variables
    assert await pieces_of(second.reply(HEARD[2], [], CONFIRMED)) == await pieces_of(
        first.reply(HEARD[2], [], CONFIRMED)
    )


async def test_a_reply_closed_early_keeps_the_state_of_the_whole(brain: Brain) -> None:
    async def after(conversation: Conversation, *, is_interrupted: bool) -> dict[str, str]:
        await pieces_of(conversation.greet())
        reply = conversation.reply(HEARD[0], [], CONFIRMED)
        await anext(reply)
        if is_interrupted:
            await reply.aclose()  # type: ignore[attr-defined] # every implementation is a generator
        else:
            await pieces_of(reply)
        return dict(conversation.variables)

    whole = await after(brain.open(FACTS, {}), is_interrupted=False)
    assert await after(brain.open(FACTS, {}), is_interrupted=True) == whole


async def test_variables_of_another_version_begin_anew(brain: Brain) -> None:
    conversation = brain.open(FACTS, {"flow": "something else", "step": "nowhere"})
    pieces = await pieces_of(conversation.greet())
    assert any(isinstance(piece, Say) for piece in pieces)


async def test_conversations_do_not_share_their_state(brain: Brain) -> None:
    first, second = brain.open(FACTS, {}), brain.open(FACTS, {})
    await pieces_of(first.greet())
    await pieces_of(second.greet())
    before = dict(second.variables)
    await pieces_of(first.reply(HEARD[3], [], CONFIRMED))
    assert dict(second.variables) == before
