"""Sentences as phone audio, with a memory for those that were said before.

Greetings, questions and goodbyes are the same in every call; kept as mu-law they cost nothing but
their sending.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.agent.providers.base import Synthesiser
from services.agent.voice_audio import PhoneVoice
from shared.runtime.tasks import closing


@dataclass(frozen=True, slots=True)
class PhoneChunk:
    """A piece of a sentence: mu-law 8 kHz, and the level of its speech so far."""

    ulaw: bytes
    level_dbfs: float
    is_last: bool


class PhoneSpeech:
    """The voice of a worker, as its calls use it.

    Args:
        synthesiser: makes the speech.
        chunk_timeout_s: the longest wait for its next piece.
        memory_bytes: how much finished speech is kept, 8000 bytes a second; the least recently
            used is forgotten.
    """

    def __init__(
        self,
        synthesiser: Synthesiser,
        *,
        chunk_timeout_s: float = 10.0,
        memory_bytes: int = 4_000_000,
    ) -> None:
        self._synthesiser = synthesiser
        self._chunk_timeout_s = chunk_timeout_s
        self._memory_bytes = memory_bytes
        self._memory: OrderedDict[tuple[str, bool], PhoneChunk] = OrderedDict()
        self._held_bytes = 0

    async def speak(self, text: str, *, is_first: bool) -> AsyncIterator[PhoneChunk]:
        """Yield a sentence's audio; the last chunk, perhaps an empty one, says so.

        Args:
            text: the sentence.
            is_first: leave out the silence it begins with: a caller waits for it.

        Raises:
            ProviderError, TimeoutError: the synthesiser failed; chunks already given stand.
        """
        key = (text, is_first)
        known = self._memory.get(key)
        if known is not None:
            self._memory.move_to_end(key)
            yield known
            return
        voice = PhoneVoice(self._synthesiser.sample_rate_hz, trims_start=is_first)
        whole = bytearray()
        async with closing(self._synthesiser.speak(text)) as pieces:
            is_last = False
            while not is_last:
                async with asyncio.timeout(self._chunk_timeout_s):
                    pcm = await anext(pieces, None)
                is_last = pcm is None
                ulaw = voice.push(pcm)
                whole += ulaw
                yield PhoneChunk(ulaw, voice.level_dbfs, is_last)
                # A voice that has its audio at hand never waits: others want the loop too.
                await asyncio.sleep(0)
        self._remember(key, PhoneChunk(bytes(whole), voice.level_dbfs, is_last=True))

    def _remember(self, key: tuple[str, bool], chunk: PhoneChunk) -> None:
        if key in self._memory or len(chunk.ulaw) > self._memory_bytes // 4:
            return
        self._memory[key] = chunk
        self._held_bytes += len(chunk.ulaw)
        while self._held_bytes > self._memory_bytes:
            _, forgotten = self._memory.popitem(last=False)
            self._held_bytes -= len(forgotten.ulaw)
