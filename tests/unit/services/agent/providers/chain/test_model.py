from __future__ import annotations

import asyncio

import pytest

from services.agent.providers.base import ChatMessage, LanguageDelta, TextDelta, ToolCall, Usage
from services.agent.providers.chain.limits import ChainLimits
from services.agent.providers.chain.link import Link
from services.agent.providers.chain.model import FallbackModel
from services.agent.providers.errors import ProviderError, ProviderTimeout
from tests.support.faulty_providers import (
    LIMITS,
    Fault,
    FaultyModel,
    Meters,
    bug,
    call_of,
    cut,
    garbage,
    missing,
    refused,
    stalled,
    status,
    tokens,
)
from tests.support.virtual_loop import in_virtual_time

QUESTION = [ChatMessage("system", "Be short."), ChatMessage("user", "When do you open?")]
WHOLE = ["We ", "open ", "at ", "nine."]
ERRORS = "voice_agent_provider_errors_total"
FALLBACKS = "voice_agent_provider_fallbacks_total"
RETRIES = "voice_agent_provider_retries_total"


def chain(
    *models: FaultyModel, meters: Meters | None = None, limits: ChainLimits = LIMITS
) -> FallbackModel:
    names = ("first", "second", "third")
    links = [Link(name, model) for name, model in zip(names, models, strict=False)]
    return FallbackModel(links, limits, (meters or Meters()).breakers)


async def answer(model: FallbackModel) -> tuple[str, list[LanguageDelta]]:
    deltas = [delta async for delta in model.stream(QUESTION, [])]
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)), deltas


FAULTS = {
    "refused": refused(),
    "401": status(401),
    "429": status(429),
    "500": status(500),
    "400": status(400),
    "missing": missing(),
    "stalled": stalled(),
    "cut": cut(),
    "garbage": garbage(),
    "bug": bug(),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
@in_virtual_time
async def test_a_model_that_fails_before_a_word_is_followed_by_the_next(fault: Fault) -> None:
    meters = Meters()
    first = FaultyModel(["no"], *[fault] * 9)
    second = FaultyModel(WHOLE)
    began_s = asyncio.get_running_loop().time()
    text, _ = await answer(chain(first, second, meters=meters))
    assert text == "We open at nine."
    assert asyncio.get_running_loop().time() - began_s < LIMITS.first_s + 0.5
    assert second.asked == [QUESTION]
    assert fault.cause is not None
    assert meters.of(ERRORS) == {(fault.cause.value, "llm", "first"): first.faults.calls}
    assert meters.of(FALLBACKS) == {("llm", "first"): 1}
    assert first.open == second.open == 0


@pytest.mark.parametrize("name", ["refused", "429", "500", "cut"])
@in_virtual_time
async def test_what_may_pass_is_tried_again_once(name: str) -> None:
    meters = Meters()
    first = FaultyModel(WHOLE, FAULTS[name])
    second = FaultyModel(["no"])
    text, _ = await answer(chain(first, second, meters=meters))
    assert text == "We open at nine."
    assert second.asked == []
    assert meters.of(RETRIES) == {("llm", "first"): 1}


@pytest.mark.parametrize("name", ["401", "400", "missing", "stalled", "garbage", "bug"])
@in_virtual_time
async def test_what_will_not_pass_is_not_tried_again(name: str) -> None:
    meters = Meters()
    first = FaultyModel(WHOLE, FAULTS[name])
    await answer(chain(first, FaultyModel(["yes"]), meters=meters))
    assert first.faults.calls == 1
    assert meters.of(RETRIES) == {}


@pytest.mark.parametrize("fault", [stalled(2), cut(2), garbage(2), bug(2)])
@in_virtual_time
async def test_a_model_that_breaks_off_is_followed_from_where_it_stopped(fault: Fault) -> None:
    first = FaultyModel(["We open ", "at ni", "ne."], fault)
    second = FaultyModel(["nine ", "today."])
    text, _ = await answer(chain(first, second))
    assert text == "We open at nine today."
    told = second.asked[0]
    assert told[:2] == QUESTION
    assert told[2] == ChatMessage("assistant", "We open at")
    assert told[3].role == "user"
    assert first.faults.calls == 1


@in_virtual_time
async def test_three_models_may_share_one_answer() -> None:
    models = (
        FaultyModel(["One ", "two ", "x"], cut(2)),
        FaultyModel(["three ", "four ", "x"], stalled(2)),
        FaultyModel(["five."]),
    )
    text, _ = await answer(chain(*models))
    assert text == "One two three four five."
    assert models[2].asked[0][2] == ChatMessage("assistant", "One two three four")


@in_virtual_time
async def test_after_a_tool_call_nobody_else_is_asked() -> None:
    first = FaultyModel(["Let me see. ", call_of("look_up"), "x"], cut(2))
    second = FaultyModel(["no"])
    got: list[LanguageDelta] = []

    async def read() -> None:
        async for delta in chain(first, second).stream(QUESTION, []):
            got.append(delta)

    with pytest.raises(ProviderError, match="cut off"):
        await read()
    assert [type(delta) for delta in got] == [TextDelta, ToolCall]
    assert second.asked == []


@in_virtual_time
async def test_when_all_have_failed_the_last_error_comes_out() -> None:
    meters = Meters()
    model = chain(FaultyModel(["x"], garbage()), FaultyModel(["x"], stalled()), meters=meters)
    with pytest.raises(ProviderTimeout):
        await answer(model)
    assert sum(meters.of(ERRORS).values()) == 2


@in_virtual_time
async def test_an_answer_without_a_word_is_no_answer() -> None:
    meters = Meters()
    text, _ = await answer(chain(FaultyModel([tokens(3)]), FaultyModel(WHOLE), meters=meters))
    assert text == "We open at nine."
    assert meters.of(ERRORS) == {("garbage", "llm", "first"): 1}


@in_virtual_time
async def test_usage_is_counted_for_the_model_that_answered() -> None:
    meters = Meters()
    _, deltas = await answer(chain(FaultyModel([*WHOLE, tokens(12)]), meters=meters))
    assert deltas[-1] == Usage("llm", "first", "output_tokens", 12)
    usage = meters.of("voice_agent_provider_usage_total")
    assert usage == {("llm", "first", "output_tokens"): 12}


@in_virtual_time
async def test_first_and_total_are_measured_from_the_request() -> None:
    meters = Meters()
    await answer(chain(FaultyModel(WHOLE, pace_s=0.05), meters=meters))
    sums = meters.of("voice_agent_provider_seconds_sum")
    assert sums[("llm", "first", "first")] == pytest.approx(0.05)
    assert sums[("llm", "first", "total")] == pytest.approx(0.2)


@in_virtual_time
async def test_a_model_that_keeps_failing_is_left_alone_and_tried_again_later() -> None:
    meters = Meters()
    first = FaultyModel(WHOLE, *[stalled()] * 5)
    second = FaultyModel(["Second."], pace_s=0.0)
    model = chain(first, second, meters=meters)
    for _ in range(5):
        await answer(model)
    assert meters.of("voice_agent_provider_breaker_open") == {("llm", "first"): 1}
    began_s = asyncio.get_running_loop().time()
    assert (await answer(model))[0] == "Second."
    assert asyncio.get_running_loop().time() == began_s
    assert first.faults.calls == 5
    await asyncio.sleep(LIMITS.breaker_open_s)
    assert (await answer(model))[0] == "We open at nine."
    assert meters.of("voice_agent_provider_breaker_open") == {}
    assert meters.of(FALLBACKS) == {("llm", "first"): 6}


@in_virtual_time
async def test_breakers_are_shared_by_chains_but_not_by_accounts() -> None:
    meters = Meters()
    wrong_key, right_key = FaultyModel(["x"], status(401)), FaultyModel(WHOLE)
    other = FaultyModel(["Other."])
    limits, breakers = LIMITS, meters.breakers
    for _ in range(2):
        await answer(
            FallbackModel([Link("vendor", wrong_key, "a"), Link("other", other)], limits, breakers)
        )
    assert wrong_key.faults.calls == 1
    text, _ = await answer(FallbackModel([Link("vendor", right_key, "b")], limits, breakers))
    assert text == "We open at nine."


@in_virtual_time
async def test_the_last_of_a_chain_is_asked_even_when_its_breaker_is_open() -> None:
    only = FaultyModel(WHOLE, status(401))
    model = chain(only)
    with pytest.raises(ProviderError):
        await answer(model)
    assert (await answer(model))[0] == "We open at nine."


@in_virtual_time
async def test_an_answer_that_is_closed_early_ends_the_request_and_is_no_failure() -> None:
    meters = Meters()
    first = FaultyModel(WHOLE)
    stream = chain(first, FaultyModel(["no"]), meters=meters).stream(QUESTION, [])
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined] # a generator, as the seam allows
    assert first.open == 0
    assert meters.of(ERRORS) == {}
    assert meters.of(FALLBACKS) == {}


@in_virtual_time
async def test_cancelling_the_wait_ends_the_request() -> None:
    first = FaultyModel(WHOLE, stalled())
    task = asyncio.ensure_future(answer(chain(first, FaultyModel(["no"]))))
    await asyncio.sleep(1)
    assert first.open == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert first.open == 0


def test_a_chain_needs_a_link() -> None:
    with pytest.raises(ValueError, match="without a link"):
        FallbackModel([], LIMITS, Meters().breakers)


@in_virtual_time
async def test_a_text_that_might_have_been_a_repetition_is_let_out_at_the_end() -> None:
    text, _ = await answer(chain(FaultyModel(["Nine of", "x"], cut(1)), FaultyModel(["Ni"])))
    assert text == "Nine of Ni"


@in_virtual_time
async def test_a_model_cut_within_its_first_word_is_followed_by_the_bare_question() -> None:
    second = FaultyModel(["We ", "open."])
    text, _ = await answer(chain(FaultyModel(["W", "x"], cut(1)), second))
    assert text == "We open."
    assert second.asked == [QUESTION]


@in_virtual_time
async def test_a_failure_that_took_all_the_time_there_is_is_not_tried_again() -> None:
    meters = Meters()
    first = FaultyModel(WHOLE, status(429), pace_s=LIMITS.first_s - 0.1)
    began_s = asyncio.get_running_loop().time()
    text, _ = await answer(chain(first, FaultyModel(["Second."]), meters=meters))
    assert text == "Second."
    assert first.faults.calls == 1
    assert asyncio.get_running_loop().time() - began_s < LIMITS.first_s


@in_virtual_time
async def test_who_tries_a_provider_out_does_not_try_twice() -> None:
    first = FaultyModel(WHOLE, *[refused()] * 9)
    model = chain(first, FaultyModel(["Second."]))
    while first.faults.calls < LIMITS.breaker_failures:
        await answer(model)
    calls = first.faults.calls
    await asyncio.sleep(LIMITS.breaker_open_s)
    await answer(model)
    assert first.faults.calls == calls + 1
