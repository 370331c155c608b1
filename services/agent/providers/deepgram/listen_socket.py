"""One live connection to Deepgram's /v1/listen, by its SDK: the only place that knows its types."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.agent.providers.base import PHONE_RATE_HZ
from services.agent.providers.deepgram.client import NAME, SDK_ERRORS, failure_of
from services.agent.providers.deepgram.options import DeepgramListenOptions
from services.agent.providers.deepgram.transcript import Result, Word
from services.agent.providers.errors import FailureCause, ProviderFailed

if TYPE_CHECKING:
    from deepgram import AsyncDeepgramClient
    from deepgram.listen.v1.socket_client import AsyncV1SocketClient


@dataclass(frozen=True, slots=True)
class UtteranceEnded:
    """No word has come for `utterance_end_ms`."""


class ListenSocket:
    """A connection that hears; times are seconds of the audio sent over this one."""

    def __init__(self, socket: AsyncV1SocketClient) -> None:
        self._socket = socket

    @classmethod
    @asynccontextmanager
    async def open(
        cls, client: AsyncDeepgramClient, options: DeepgramListenOptions, language: str
    ) -> AsyncIterator[ListenSocket]:
        """Connect, and close on the way out.

        Raises:
            ProviderError: not connected; also from inside the context, for what the SDK raised.
        """
        has_begun = False
        try:
            async with client.listen.v1.connect(**_query(options, language)) as socket:
                # The SDK's transport connects with its first message; this is the smallest.
                await socket.send_keep_alive()
                has_begun = True
                yield cls(socket)
        except SDK_ERRORS as exc:
            raise failure_of(exc, has_begun=has_begun) from None  # its text may hold the key

    async def send_audio(self, ulaw: bytes) -> None:
        """Send mu-law 8 kHz."""
        await self._socket.send_media(ulaw)

    async def finalize(self) -> None:
        """Have everything sent so far settled."""
        await self._socket.send_finalize()

    async def keep_alive(self) -> None:
        """Say that there is nothing to say; Deepgram hangs up after 10 s without a word."""
        await self._socket.send_keep_alive()

    async def messages(self) -> AsyncIterator[Result | UtteranceEnded]:
        """Yield what is heard.

        Raises:
            ProviderFailed: an error message, or the connection ended: it never does by itself.
        """
        while True:
            message = _read(await self._socket.recv())
            if message is not None:
                yield message


def _query(options: DeepgramListenOptions, language: str) -> dict[str, Any]:
    query: dict[str, Any] = {
        "model": options.model,
        "language": options.language or language,
        "encoding": "mulaw",
        "sample_rate": PHONE_RATE_HZ,
        "channels": 1,
        "interim_results": "true",
        "vad_events": "true",
        "endpointing": options.endpointing_ms,
        "punctuate": _flag(options.punctuate),
        "smart_format": _flag(options.smart_format),
    }
    if options.mip_opt_out:
        query["mip_opt_out"] = "true"
    if options.utterance_end_ms:
        query["utterance_end_ms"] = options.utterance_end_ms
    if options.numerals:
        query["numerals"] = "true"
    if options.profanity_filter:
        query["profanity_filter"] = "true"
    if options.keyterms:
        is_older = options.model.startswith(("nova-2", "nova-1", "enhanced", "base"))
        query["keywords" if is_older else "keyterm"] = list(options.keyterms)
    return query


def _flag(is_on: bool) -> str:
    return "true" if is_on else "false"  # the SDK would write a bool as Python does


def _read(message: Any) -> Result | UtteranceEnded | None:
    """Take a message as the SDK gives it: its models are not checked, whatever their types say."""
    try:
        kind = getattr(message, "type", None)
        if kind == "Results":
            return _result(message)
        if kind == "UtteranceEnd":
            return UtteranceEnded()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise _unreadable() from None
    if kind == "Error":
        raise ProviderFailed(NAME, "an error was sent", FailureCause.SERVER_ERROR)
    if kind is None:
        raise _unreadable()
    return None


def _result(message: Any) -> Result:
    start_s = float(message.start)
    end_s = start_s + float(message.duration)
    best = message.channel.alternatives[0]
    words = tuple(
        Word(
            str(getattr(word, "punctuated_word", None) or word.word),
            float(word.start),
            float(word.end),
            float(word.confidence),
        )
        for word in best.words or ()
    )
    if not words and best.transcript:  # some models give no words
        words = (Word(str(best.transcript), start_s, end_s, float(best.confidence)),)
    return Result(
        start_s,
        end_s,
        words,
        is_final=bool(message.is_final),
        is_speech_final=bool(message.speech_final),
        is_from_finalize=bool(message.from_finalize),
    )


def _unreadable() -> ProviderFailed:
    return ProviderFailed(NAME, "a message that can't be read", FailureCause.GARBAGE)
