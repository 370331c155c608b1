"""Messages of Deepgram as its SDK gives them: unchecked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from services.agent.providers.deepgram.listen_socket import ListenSocket, UtteranceEnded
from services.agent.providers.deepgram.transcript import Result, Word
from services.agent.providers.errors import FailureCause, ProviderFailed


class FakeSocket:
    """Gives messages, then is closed."""

    def __init__(self, messages: Sequence[Any]) -> None:
        self._messages = list(messages)

    async def recv(self) -> Any:
        if not self._messages:
            raise ConnectionError("closed")
        return self._messages.pop(0)


def results(**others: Any) -> SimpleNamespace:
    word = SimpleNamespace(word="hi", punctuated_word="Hi.", start=0.5, end=0.8, confidence=0.9)
    best = SimpleNamespace(transcript="Hi.", confidence=0.9, words=[word])
    fields = {
        "type": "Results",
        "start": 0.25,
        "duration": 1.0,
        "is_final": True,
        "speech_final": None,
        "from_finalize": None,
        "channel": SimpleNamespace(alternatives=[best]),
    }
    return SimpleNamespace(**{**fields, **others})


def messages_of(*messages: Any) -> AsyncIterator[Result | UtteranceEnded]:
    return ListenSocket(FakeSocket(messages)).messages()  # type: ignore[arg-type] # all it needs


async def test_results_are_read_and_what_is_of_no_use_is_passed_over() -> None:
    messages = messages_of(
        SimpleNamespace(type="Metadata"),
        results(),
        SimpleNamespace(type="SpeechStarted"),
        SimpleNamespace(type="UtteranceEnd"),
    )
    assert await anext(messages) == Result(
        0.25,
        1.25,
        (Word("Hi.", 0.5, 0.8, 0.9),),
        is_final=True,
        is_speech_final=False,
        is_from_finalize=False,
    )
    assert await anext(messages) == UtteranceEnded()
    with pytest.raises(ConnectionError):
        await anext(messages)


async def test_a_model_that_gives_no_words_is_heard_too() -> None:
    best = SimpleNamespace(transcript="हाँ जी", confidence=0.8, words=None)
    result = await anext(messages_of(results(channel=SimpleNamespace(alternatives=[best]))))
    assert isinstance(result, Result)
    assert result.words == (Word("हाँ जी", 0.25, 1.25, 0.8),)


@pytest.mark.parametrize(
    "message",
    [
        results(channel=None),
        results(channel=SimpleNamespace(alternatives=[])),
        results(start="soon"),
        {"no": "type"},
        "text",
        b"\x00",
    ],
)
async def test_what_can_not_be_read_is_garbage(message: Any) -> None:
    with pytest.raises(ProviderFailed) as caught:
        await anext(messages_of(message))
    assert caught.value.cause is FailureCause.GARBAGE


async def test_an_error_message_is_the_servers_error() -> None:
    with pytest.raises(ProviderFailed) as caught:
        await anext(messages_of(SimpleNamespace(type="Error", description="a caller's words")))
    assert caught.value.cause is FailureCause.SERVER_ERROR
    assert "words" not in str(caught.value)
