"""Requests about calls that are up, to a stand-in for Vobiz over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shared.vobiz.account import VobizAccount
from shared.vobiz.answers import Balance
from shared.vobiz.client import CallAction, VobizClient, open_vobiz
from shared.vobiz.errors import Verdict, VobizFailure
from tests.support.vobiz_rest import Answer, VobizStandIn

pytestmark = pytest.mark.system

CALL = "/api/v1/Account/MA_EXAMPLE1/Call/uuid-1"
URL = "https://voice.example.com/errand?c=7"


@pytest.fixture
async def vobiz() -> AsyncIterator[VobizStandIn]:
    async with VobizStandIn().serve() as stand_in:
        yield stand_in


@pytest.fixture
async def client(vobiz: VobizStandIn) -> AsyncIterator[VobizClient]:
    account = VobizAccount("MA_EXAMPLE1", "example-token", vobiz.base)
    async with open_vobiz(account, timeout_s=0.5, connect_timeout_s=0.4) as opened:
        yield opened


async def test_a_transfer_names_the_callers_leg(vobiz: VobizStandIn, client: VobizClient) -> None:
    vobiz.answers = [Answer(202)]
    assert await client.transfer("uuid-1", url=URL) is CallAction.DONE
    (sent,) = vobiz.seen
    assert (sent.method, sent.path) == ("POST", f"{CALL}/")
    assert sent.body == {"legs": "aleg", "aleg_url": URL, "aleg_method": "POST"}
    assert sent.headers["x-auth-token"] == "example-token"


async def test_keys_are_sent_to_the_callers_leg(vobiz: VobizStandIn, client: VobizClient) -> None:
    vobiz.answers = [Answer(202)]
    assert await client.send_digits("uuid-1", "1w2#") is CallAction.DONE
    (sent,) = vobiz.seen
    assert (sent.method, sent.path) == ("POST", f"{CALL}/DTMF/")
    assert sent.body == {"digits": "1w2#", "leg": "aleg"}


async def test_words_are_said_to_the_caller_in_a_voice_of_choice(
    vobiz: VobizStandIn, client: VobizClient
) -> None:
    vobiz.answers = [Answer(202), Answer(202)]
    assert await client.speak("uuid-1", "One moment.") is CallAction.DONE
    await client.speak("uuid-1", "Ek minute.", voice="WOMAN", language="hi-IN")
    first, second = vobiz.seen
    assert (first.method, first.path) == ("POST", f"{CALL}/Speak/")
    assert first.body == {"text": "One moment.", "legs": "aleg"}
    assert second.body == {
        "text": "Ek minute.",
        "legs": "aleg",
        "voice": "WOMAN",
        "language": "hi-IN",
    }


@pytest.mark.parametrize("status", [401, 404])
async def test_the_paths_other_form_is_tried_once(
    vobiz: VobizStandIn, client: VobizClient, status: int
) -> None:
    vobiz.answers = [Answer(status), Answer(202)]
    assert await client.transfer("uuid-1", url=URL) is CallAction.DONE
    assert [sent.path for sent in vobiz.seen] == [f"{CALL}/", CALL]


async def test_a_call_that_vobiz_does_not_know_is_over(
    vobiz: VobizStandIn, client: VobizClient
) -> None:
    vobiz.answers = [Answer(404), Answer(404)]
    assert await client.send_digits("uuid-1", "1") is CallAction.CALL_OVER


async def test_wrong_credentials_are_told_from_a_call_that_is_over(
    vobiz: VobizStandIn, client: VobizClient
) -> None:
    vobiz.answers = [Answer(401), Answer(401)]
    with pytest.raises(VobizFailure) as caught:
        await client.transfer("uuid-1", url=URL)
    assert caught.value.verdict is Verdict.UNAUTHORIZED


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(400), Verdict.INVALID),
        (Answer(429), Verdict.RATE_LIMITED),
        (Answer(500), Verdict.PLATFORM_ERROR),
        (Answer(hangs=True), Verdict.OUTCOME_UNKNOWN),
    ],
)
async def test_nothing_is_repeated_that_may_have_been_done(
    vobiz: VobizStandIn, client: VobizClient, answer: Answer, verdict: Verdict
) -> None:
    vobiz.answers = [answer]
    with pytest.raises(VobizFailure) as caught:
        await client.send_digits("uuid-1", "1")
    assert caught.value.verdict is verdict
    assert len(vobiz.seen) == 1


async def test_without_an_account_nothing_is_sent() -> None:
    async with open_vobiz(None, timeout_s=1, connect_timeout_s=1) as client:
        with pytest.raises(VobizFailure) as caught:
            await client.transfer("uuid-1", url=URL)
    assert caught.value.verdict is Verdict.NOT_CONFIGURED


async def test_the_balance_is_asked_for_as_the_documents_write_it_and_else_with_a_capital(
    vobiz: VobizStandIn, client: VobizClient
) -> None:
    vobiz.tells_balance = True
    vobiz.answers = [Answer(401), Answer.of(200, {"available_balance": 7, "currency": "INR"})]
    assert await client.balance("INR") == Balance(7.0, None)
    assert [(sent.method, sent.path) for sent in vobiz.seen] == [
        ("GET", "/api/v1/account/MA_EXAMPLE1/balance/INR"),
        ("GET", "/api/v1/Account/MA_EXAMPLE1/balance/INR"),
    ]


async def test_a_balance_that_is_refused_is_a_failure(
    vobiz: VobizStandIn, client: VobizClient
) -> None:
    vobiz.tells_balance = True
    vobiz.answers = [Answer(500)]
    with pytest.raises(VobizFailure) as caught:
        await client.balance("INR")
    assert caught.value.verdict is Verdict.PLATFORM_ERROR
    assert len(vobiz.seen) == 1
