from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest

from services.agent.providers.base import (
    CallFacts,
    EndCall,
    Expect,
    Expectation,
    Message,
    Piece,
    Say,
    Words,
)
from services.agent.providers.chain.brain import FallbackBrain, FallbackConversation
from services.agent.providers.chain.link import Link
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.providers.errors import FailureCause, ProviderFailed, ProviderUnavailable
from shared.protocol.call import CallId, Direction
from tests.support.faulty_providers import LIMITS, Meters
from tests.support.providers import FakeBrain, FakeConversation
from tests.support.virtual_loop import in_virtual_time

FACTS = CallFacts(CallId("call-1"), "default", Direction.INBOUND, "", "")
CONFIRMED = ReplyConfirmation(is_given=True)
HEARD = Words("when do you open", is_understood=True)
HISTORY = [Message("agent", "Hello."), Message("caller", HEARD.text)]
BROKEN = ProviderFailed("llm", "no model left", FailureCause.TIMEOUT)


def chain(*brains: FakeBrain, meters: Meters | None = None) -> FallbackBrain:
    links = [Link(name, one) for name, one in zip(("model", "flow"), brains, strict=False)]
    return FallbackBrain(links, LIMITS, (meters or Meters()).breakers)


def opened(
    brain: FallbackBrain, variables: Mapping[str, str] | None = None
) -> FallbackConversation:
    return brain.open(FACTS, variables or {})


async def reply(conversation: FallbackConversation) -> list[Piece]:
    return [piece async for piece in conversation.reply(HEARD, HISTORY, CONFIRMED)]


@in_virtual_time
async def test_a_brain_that_answers_is_the_only_one_asked() -> None:
    model, flow = FakeBrain(), FakeBrain()
    conversation = opened(chain(model, flow))
    assert await reply(conversation) == [Say("You said when do you open.")]
    assert flow.conversations == []
    assert conversation.variables == {"turn": "1"}


@in_virtual_time
async def test_a_brain_that_fails_before_a_word_is_followed_by_a_whole_answer() -> None:
    meters = Meters()
    expect = Expect(Expectation(("yes",)))
    model = FakeBrain(script=[[expect, BROKEN]])
    flow = FakeBrain(script=[[], [Say("At nine.")]])  # it goes on from the model's turn
    conversation = opened(chain(model, flow, meters=meters))
    assert await reply(conversation) == [expect, Say("At nine.")]
    assert flow.conversations[0].histories == [tuple(HISTORY)]
    errors = meters.of("voice_agent_provider_errors_total")
    assert errors == {("timeout", "brain", "model"): 1}
    assert meters.of("voice_agent_provider_fallbacks_total") == {("brain", "model"): 1}


@in_virtual_time
async def test_a_brain_that_breaks_off_is_followed_by_one_that_knows_what_was_said() -> None:
    model = FakeBrain(script=[[Say("We open at nine."), Say("On Sundays"), BROKEN]])
    flow = FakeBrain(script=[[], [Say("Anything else?")]])
    pieces = await reply(opened(chain(model, flow)))
    assert [piece.text for piece in pieces if isinstance(piece, Say)] == [
        "We open at nine.",
        "On Sundays",
        "Anything else?",
    ]
    (history,) = flow.conversations[0].histories
    assert history == (*HISTORY, Message("agent", "We open at nine. On Sundays"))


@in_virtual_time
async def test_what_ends_a_call_ends_the_reply_whatever_follows() -> None:
    model = FakeBrain(script=[[Say("Bye."), EndCall("done"), BROKEN]])
    flow = FakeBrain()
    assert await reply(opened(chain(model, flow))) == [Say("Bye."), EndCall("done")]
    assert flow.conversations == []


@in_virtual_time
async def test_the_next_turn_begins_with_the_first_brain_again() -> None:
    model = FakeBrain(script=[[BROKEN], [Say("I am back.")]])
    flow = FakeBrain(script=[[Say("At nine.")]])
    conversation = opened(chain(model, flow))
    await reply(conversation)
    assert conversation.variables == {"turn": "2", "chain_brain": "flow"}
    assert await reply(conversation) == [Say("I am back.")]
    assert conversation.variables == {"turn": "2"}


@in_virtual_time
async def test_the_second_brain_begins_with_the_variables_so_far() -> None:
    model = FakeBrain(script=[[Say("One.")], [BROKEN]])
    flow = FakeBrain(script=[[Say("Zero.")], [Say("One more.")], [Say("Two more.")]])
    conversation = opened(chain(model, flow), {"turn": "0"})
    await reply(conversation)
    assert await reply(conversation) == [Say("Two more.")]


@in_virtual_time
async def test_another_worker_goes_on_with_the_brain_that_answered_last() -> None:
    model = FakeBrain(script=[[BROKEN]])
    flow = FakeBrain(script=[[Say("At nine.")]] * 3)
    conversation = opened(chain(model, flow))
    await reply(conversation)
    later = opened(chain(model, flow), dict(conversation.variables))
    assert later.variables == conversation.variables
    assert isinstance(flow.conversations[-1], FakeConversation)
    later.rewind({"turn": "0"})
    assert later.variables == {"turn": "0"}
    later.rewind({"turn": "1", "chain_brain": "flow"})
    assert later.variables == {"turn": "1", "chain_brain": "flow"}


@in_virtual_time
async def test_greetings_fall_back_too_and_are_not_said_twice() -> None:
    flow = FakeBrain(greeting=(Say("Welcome."),))
    silent = opened(chain(FakeBrain(greeting=(BROKEN,)), flow))
    assert [piece async for piece in silent.greet()] == [Say("Welcome.")]
    cut = opened(chain(FakeBrain(greeting=(Say("Hello."), BROKEN)), flow))
    assert [piece async for piece in cut.greet()] == [Say("Hello.")]
    lost = opened(chain(FakeBrain(greeting=(BROKEN,)), FakeBrain(greeting=(BROKEN,))))
    with pytest.raises(ProviderFailed):
        _ = [piece async for piece in lost.greet()]


@in_virtual_time
async def test_when_all_have_failed_the_last_error_comes_out() -> None:
    conversation = opened(chain(FakeBrain(script=[[BROKEN]]), FakeBrain(script=[[], [BROKEN]])))
    with pytest.raises(ProviderFailed, match="no model left"):
        await reply(conversation)


class Absent(FakeBrain):
    def open(self, call: CallFacts, variables: Mapping[str, str]) -> FakeConversation:
        raise ProviderUnavailable("absent", "no key", FailureCause.MISSING)


@in_virtual_time
async def test_a_brain_that_cannot_be_opened_is_passed_by() -> None:
    conversation = opened(chain(Absent(), FakeBrain(script=[[Say("At nine.")]])))
    assert conversation.variables == {"turn": "0", "chain_brain": "flow"}
    assert await reply(conversation) == [Say("At nine.")]
    with pytest.raises(ProviderUnavailable):
        opened(chain(Absent(), Absent()))
    # The brain that a snapshot names may have gone.
    gone = opened(chain(FakeBrain(), Absent()), {"turn": "3", "chain_brain": "flow"})
    assert gone.variables == {"turn": "3"}


@in_virtual_time
async def test_all_that_was_opened_is_closed() -> None:
    model, flow = FakeBrain(script=[[BROKEN]]), FakeBrain()
    conversation = opened(chain(model, flow))
    await reply(conversation)
    await conversation.aclose()
    await conversation.aclose()
    assert model.conversations[0].is_closed
    assert flow.conversations[0].is_closed


@in_virtual_time
async def test_a_reply_closed_early_closes_the_brains_own() -> None:
    closed: list[bool] = []

    class Watched(FakeBrain):
        async def play(self, reply: object) -> AsyncIterator[Piece]:
            try:
                yield Say("One.")
                yield Say("Two.")
            finally:
                closed.append(True)

    conversation = opened(chain(Watched(), FakeBrain()))
    pieces = conversation.reply(HEARD, HISTORY, CONFIRMED)
    await anext(pieces)
    await pieces.aclose()  # type: ignore[attr-defined] # a generator, as the seam allows
    assert conversation.variables == {"turn": "1"}
