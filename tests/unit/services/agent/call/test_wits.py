"""Replies of one call's dialogue: for certain, on a guess, given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.agent.call.wits import Wits
from services.agent.providers import base
from services.agent.providers.errors import ProviderFailed
from services.agent.turn import events as ev
from shared.protocol.call import CallId, Direction
from shared.runtime.tasks import TaskOwner
from tests.support.providers import FakeBrain, FakeConversation

FACTS = base.CallFacts(CallId("c"), "default", Direction.INBOUND, "", "")
HEARD = base.Words("hello", is_understood=True)


class Scene:
    def __init__(self, owner: TaskOwner, brain: FakeBrain) -> None:
        self.conversation: FakeConversation = brain.open(FACTS, {})
        self.events: list[ev.Event] = []
        self.failures: list[Exception] = []
        self.wits = Wits(
            self.conversation,
            owner,
            on_event=self.events.append,
            on_failed=self.failures.append,
            on_full=lambda: None,
            piece_timeout_s=1.0,
        )

    def said(self) -> list[tuple[int, str]]:
        return [
            (event.generation, event.piece.text)
            for event in self.events
            if isinstance(event, ev.ReplyPiece) and isinstance(event.piece, base.Say)
        ]


@pytest.fixture
async def owner() -> AsyncIterator[TaskOwner]:
    async with TaskOwner("test") as owner:
        yield owner


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_reply_is_read_to_its_end(owner: TaskOwner) -> None:
    scene = Scene(owner, FakeBrain())
    scene.wits.ask(ev.Ask(1, HEARD))
    await settle()
    assert scene.said() == [(1, "You said hello.")]
    assert scene.events[-1] == ev.ReplyRead(1)


async def test_confirmed_guess_keeps_its_state(owner: TaskOwner) -> None:
    scene = Scene(owner, FakeBrain())
    scene.wits.ask(ev.Ask(1, HEARD, is_speculative=True))
    await settle()
    scene.wits.confirm(1)
    scene.wits.abandon(1, rewinds=False)  # interrupted later
    await settle()
    assert scene.conversation.variables == {"turn": "1"}


async def test_wrong_guess_is_taken_back_after_it_was_read(owner: TaskOwner) -> None:
    scene = Scene(owner, FakeBrain())
    scene.wits.ask(ev.Ask(1, HEARD, is_speculative=True))
    await settle()
    scene.wits.abandon(1, rewinds=True)
    scene.wits.ask(ev.Ask(2, HEARD))
    await settle()
    assert scene.conversation.variables == {"turn": "1"}
    assert scene.said()[-1] == (2, "You said hello.")


async def test_wrong_guess_is_taken_back_while_it_is_made(owner: TaskOwner) -> None:
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    scene = Scene(owner, FakeBrain(on_piece=lambda: gate))
    scene.wits.ask(ev.Ask(1, HEARD, is_speculative=True))
    await settle()
    scene.wits.abandon(1, rewinds=True)
    await settle()
    assert scene.conversation.variables == {"turn": "0"}
    assert scene.said() == []


async def test_guess_that_never_began_leaves_the_state_alone(owner: TaskOwner) -> None:
    scene = Scene(owner, FakeBrain())
    scene.wits.ask(ev.Ask(1, HEARD))
    scene.wits.ask(ev.Ask(2, HEARD, is_speculative=True))
    scene.wits.abandon(2, rewinds=True)
    await settle()
    assert scene.conversation.heard == []
    assert scene.events == []


async def test_failure_is_told_once_and_ends_the_reply(owner: TaskOwner) -> None:
    failure = ProviderFailed("fake", "broke")
    scene = Scene(owner, FakeBrain(script=[(base.Say("So."), failure)]))
    scene.wits.ask(ev.Ask(1, HEARD))
    await settle()
    assert scene.failures == [failure]
    assert scene.events[-1] == ev.ReplyFailed(1)


async def test_dialogue_that_cannot_begin_gives_way_to_another(owner: TaskOwner) -> None:
    scene = Scene(owner, FakeBrain(greeting=(ProviderFailed("realtime", "no connection"),)))
    other = FakeBrain().open(FACTS, {})
    scene.wits.greet(1, otherwise=lambda: other)
    await settle()
    assert scene.said() == [(1, "Hello.")]
    assert scene.events[-1] == ev.ReplyRead(1)
    assert scene.conversation.is_closed
    scene.wits.ask(ev.Ask(2, HEARD))
    await settle()
    assert other.heard == [HEARD]


async def test_greeting_that_breaks_off_in_mid_word_is_not_begun_again(owner: TaskOwner) -> None:
    broken = (base.Say("Hello, this"), ProviderFailed("realtime", "cut"))
    scene = Scene(owner, FakeBrain(greeting=broken))
    scene.wits.greet(1, otherwise=lambda: FakeBrain().open(FACTS, {}))
    await settle()
    assert scene.events[-1] == ev.ReplyFailed(1)
    assert not scene.conversation.is_closed


async def test_a_snapshot_knows_nothing_of_an_answer_to_a_guess(owner: TaskOwner) -> None:
    scene = Scene(owner, FakeBrain())
    scene.wits.ask(ev.Ask(1, HEARD, is_speculative=True))
    await settle()
    assert scene.wits.variables == {"turn": "1"}
    assert scene.wits.settled_variables == {"turn": "0"}
    scene.wits.confirm(1)
    assert scene.wits.settled_variables == {"turn": "1"}
