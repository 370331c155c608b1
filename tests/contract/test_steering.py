"""What acts on a call that is up: Vobiz's own client against a stand-in, and the tests' Vobiz."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from services.dialer.calls.actions import Steering
from shared.vobiz.account import VobizAccount
from shared.vobiz.client import CallAction, open_vobiz
from shared.vobiz.errors import Verdict, VobizFailure
from tests.support.dialer_api import WillingVobiz
from tests.support.vobiz_rest import Answer, VobizStandIn

pytestmark = pytest.mark.system


@dataclass
class Stage:
    """A Steering, and how to make its calls be over or its requests be refused."""

    steering: Steering
    end_calls: Callable[[], None]
    refuse: Callable[[], None]


@pytest.fixture(params=["vobiz", "willing"])
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    if request.param == "willing":
        willing = WillingVobiz()

        def end_calls() -> None:
            willing.is_over = True

        def refuse() -> None:
            willing.failure = VobizFailure(Verdict.FORBIDDEN, status=403)

        yield Stage(willing, end_calls, refuse)
        return
    async with VobizStandIn().serve() as stand_in:
        account = VobizAccount("MA_EXAMPLE1", "example-token", stand_in.base)
        async with open_vobiz(account, timeout_s=2, connect_timeout_s=1) as client:
            gone, no = Answer(404), Answer(403)
            yield Stage(
                client,
                lambda: stand_in.answers.extend([gone, gone]),
                lambda: stand_in.answers.append(no),
            )


ACTS: dict[str, Callable[[Steering], Awaitable[CallAction]]] = {
    "transfer": lambda steering: steering.transfer("uuid-1", url="https://voice.example.com/x"),
    "dtmf": lambda steering: steering.send_digits("uuid-1", "1"),
    "speak": lambda steering: steering.speak("uuid-1", "x", voice="WOMAN", language="en-US"),
}


@pytest.mark.parametrize("act", ACTS)
async def test_what_is_asked_is_done(stage: Stage, act: str) -> None:
    assert await ACTS[act](stage.steering) is CallAction.DONE


@pytest.mark.parametrize("act", ACTS)
async def test_a_call_that_is_over_is_no_failure(stage: Stage, act: str) -> None:
    stage.end_calls()
    assert await ACTS[act](stage.steering) is CallAction.CALL_OVER


@pytest.mark.parametrize("act", ACTS)
async def test_a_refusal_says_why(stage: Stage, act: str) -> None:
    stage.refuse()
    with pytest.raises(VobizFailure) as caught:
        await ACTS[act](stage.steering)
    assert caught.value.verdict is Verdict.FORBIDDEN
