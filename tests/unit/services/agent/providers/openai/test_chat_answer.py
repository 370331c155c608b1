"""A streamed answer put together, from OpenAI and from servers that leave things out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from services.agent.providers.base import LanguageDelta, TextDelta, ToolCall, Usage
from services.agent.providers.errors import FailureCause, ProviderFailed, ProviderRejected
from services.agent.providers.openai.chat_answer import ChatAnswer


def chunk(
    content: str | None = None,
    calls: list[Any] | None = None,
    *,
    reason: str | None = None,
    usage: Any = None,
) -> Any:
    delta = SimpleNamespace(content=content, tool_calls=calls)
    choice = SimpleNamespace(delta=delta, finish_reason=reason)
    return SimpleNamespace(choices=[choice], usage=usage)


def part(name: str | None = None, arguments: str | None = None, **where: Any) -> SimpleNamespace:
    function = SimpleNamespace(name=name, arguments=arguments)
    return SimpleNamespace(**{"id": None, "function": function, **where})


def put_together(*chunks: Any) -> list[LanguageDelta]:
    answer = ChatAnswer("openai")
    deltas = [delta for each in chunks for delta in answer.on_chunk(each)]
    return [*deltas, *answer.finish()]


def test_text_comes_as_it_is() -> None:
    assert put_together(chunk(""), chunk("Hel"), chunk("lo"), chunk(reason="stop")) == [
        TextDelta("Hel"),
        TextDelta("lo"),
    ]


def test_fragments_are_put_together_by_their_index() -> None:
    assert put_together(
        chunk(calls=[part("look", "", index=0, id="a")]),
        chunk(calls=[part("hang", "", index=1, id="b")]),
        chunk(calls=[part(arguments='{"x"', index=0), part(arguments="{}", index=1)]),
        chunk(calls=[part(arguments=": 1}", index=0)]),
        chunk(reason="tool_calls"),
    ) == [ToolCall("a", "look", '{"x": 1}'), ToolCall("b", "hang", "{}")]


def test_calls_come_with_the_end_and_not_with_the_usage() -> None:
    answer = ChatAnswer("openai")
    list(answer.on_chunk(chunk(calls=[part("look", "{}", index=0, id="a")])))
    assert list(answer.on_chunk(chunk(reason="tool_calls"))) == [ToolCall("a", "look", "{}")]
    assert list(answer.on_chunk(chunk(reason="tool_calls"))) == []
    assert list(answer.finish()) == []


def test_missing_ids_are_made_up() -> None:
    assert put_together(
        chunk(calls=[part("look", "{}", index=0)]),
        chunk(calls=[part("hang", None, index=1)]),
        chunk(reason="tool_calls"),
    ) == [ToolCall("call_0", "look", "{}"), ToolCall("call_1", "hang", "{}")]


def test_whole_calls_that_all_have_index_nought_stay_apart() -> None:
    assert put_together(
        chunk(calls=[part("look", '{"x": 1}', index=0, id="a")]),
        chunk(calls=[part("look", '{"x": 2}', index=0, id="b")]),
        chunk(calls=[part("hang", "{}", index=0)]),
        chunk(reason="stop"),
    ) == [
        ToolCall("a", "look", '{"x": 1}'),
        ToolCall("b", "look", '{"x": 2}'),
        ToolCall("call_2", "hang", "{}"),
    ]


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    assert put_together(
        chunk(calls=[part("look", '{"x"', id="a")]),
        chunk(calls=[part(arguments=": 1}", id="a")]),
        chunk(calls=[part("hang", "{}", id="b")]),
        chunk(calls=[SimpleNamespace(id="b", function=None)]),
        chunk(reason="tool_calls"),
    ) == [ToolCall("a", "look", '{"x": 1}'), ToolCall("b", "hang", "{}")]


def test_usage_is_given_where_it_is_known() -> None:
    details = SimpleNamespace(cached_tokens=40)
    usage = SimpleNamespace(prompt_tokens=100, completion_tokens=7, prompt_tokens_details=details)
    last = SimpleNamespace(choices=[], usage=usage)
    assert put_together(chunk("Hi"), chunk(reason="stop"), last)[1:] == [
        Usage("llm", "openai", "input_tokens", 60.0),
        Usage("llm", "openai", "cached_tokens", 40.0),
        Usage("llm", "openai", "output_tokens", 7.0),
    ]


def test_usage_without_details_counts_all_as_input() -> None:
    usage = SimpleNamespace(prompt_tokens=5, completion_tokens=None, prompt_tokens_details=None)
    assert put_together(chunk("Hi"), chunk(reason="stop", usage=usage))[1:] == [
        Usage("llm", "openai", "input_tokens", 5.0)
    ]


def test_a_chunk_without_choices_or_delta_does_no_harm() -> None:
    odd = SimpleNamespace(choices=None)
    bare = SimpleNamespace(choices=[SimpleNamespace(delta=None, finish_reason="length")])
    assert put_together(odd, chunk("Hi"), bare) == [TextDelta("Hi")]


def test_an_answer_without_its_end_is_cut() -> None:
    with pytest.raises(ProviderFailed) as caught:
        put_together(chunk("Hel"))
    assert caught.value.cause is FailureCause.CUT


def test_an_answer_without_anything_can_not_be_read() -> None:
    with pytest.raises(ProviderFailed) as caught:
        put_together()
    assert caught.value.cause is FailureCause.GARBAGE


def test_a_filtered_answer_is_rejected() -> None:
    with pytest.raises(ProviderRejected):
        put_together(chunk("Hel"), chunk(reason="content_filter"))


def test_text_of_another_type_is_noticed() -> None:
    with pytest.raises(TypeError):
        put_together(chunk({"no": "text"}))  # type: ignore[arg-type] # a server might
