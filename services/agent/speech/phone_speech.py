"""Sentences as phone audio, with a memory for those that were said before.

Greetings, questions and goodbyes are the same in every call; kept as mu-law they cost nothing but
their sending. A sentence is looked for among what was made in advance, in this worker's memory and
in what the workers share, in this order; what several calls say at once is made once.

Only whole sentences of the voice itself are kept: what a fallback voice said, even in part, is
made anew the next time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import structlog
from prometheus_client import CollectorRegistry

from services.agent.providers.base import Pcm, Synthesiser
from services.agent.providers.chain.synthesiser import Attributed
from services.agent.providers.errors import FailureCause, ProviderError, ProviderFailed
from services.agent.providers.warmth import warm
from services.agent.speech.flight import Flight, PhoneChunk
from services.agent.speech.shared_speech import SharedSpeech
from services.agent.speech.speech_memory import Entry, SpeechMemory
from services.agent.speech.speech_record import SpeechRecord, speech_key
from services.agent.speech.voice_audio import PhoneVoice
from services.agent.turn.sentences import split_sentences
from shared.metrics.catalogue import ProviderMetrics
from shared.runtime.tasks import TaskOwner, closing

__all__ = ["PhoneChunk", "PhoneSpeech"]

_log = structlog.get_logger(__name__)
_LONGEST_BYTES = 120 * 8000
"""No sentence takes two minutes; a voice that goes on and on is broken."""
_PREPARED_AT_ONCE = 4
_PREPARE_WAIT_S = 1.0
_PAUSE = b"\xff" * 1600
"""0.2 s of mu-law silence between sentences that were made apart."""

_Key = tuple[str, bool]


class PhoneSpeech:
    """A voice of a worker, as its calls use it. `aclose` when it is done with.

    Args:
        synthesiser: makes the speech.
        voice_key: tells this voice from others in what the workers share, see `voice_key`; empty:
            nothing is shared.
        shared: what the workers share.
        metrics: where hits and misses are counted.
        last_resort: speaks what is to be prepared and the synthesiser cannot speak, so that an
            apology is there when every vendor is away; the machine's own voice.
        shares_repeats: share what was said twice, too; False where sentences may hold what is
            nobody's business, and only what is prepared is shared.
        chunk_timeout_s: the longest wait for the synthesiser's next piece.
        memory_bytes: how much finished speech is kept, 8000 bytes a second; the least recently
            used is forgotten.
        pinned_bytes: how much is kept of what was prepared, apart from that; the least recently
            prepared goes over into the memory.
    """

    def __init__(
        self,
        synthesiser: Synthesiser,
        *,
        voice_key: str = "",
        shared: SharedSpeech | None = None,
        metrics: ProviderMetrics | None = None,
        last_resort: Synthesiser | None = None,
        shares_repeats: bool = True,
        chunk_timeout_s: float = 10.0,
        memory_bytes: int = 4_000_000,
        pinned_bytes: int = 8_000_000,
    ) -> None:
        self._synthesiser = synthesiser
        self._voice_key = voice_key
        self._shared = shared if voice_key else None
        self._metrics = metrics or ProviderMetrics(CollectorRegistry())
        self._last_resort = last_resort
        self._shares_repeats = shares_repeats
        self._chunk_timeout_s = chunk_timeout_s
        on_bytes = self._metrics.speech_cache_bytes.inc
        self._memory: SpeechMemory[_Key] = SpeechMemory(memory_bytes, on_bytes=on_bytes)
        self._pinned: SpeechMemory[str] = SpeechMemory(pinned_bytes, on_bytes=on_bytes)
        self._flights: dict[_Key, Flight] = {}
        self._owner = TaskOwner("speech")

    async def aclose(self) -> None:
        """Stop what is being made and forget all."""
        await self._owner.stop()
        self._memory.clear()
        self._pinned.clear()

    async def warm(self) -> None:
        """See Warmable."""
        await warm(self._synthesiser)

    # --- speaking ----------------------------------------------------------------------------

    async def speak(self, text: str, *, is_first: bool) -> AsyncIterator[PhoneChunk]:
        """Yield a sentence's audio; the last chunk, perhaps an empty one, says so.

        Args:
            text: the sentence.
            is_first: leave out the silence it begins with: a caller waits for it.

        Raises:
            ProviderError, TimeoutError: the synthesiser failed; chunks already given stand.
        """
        key = (text, is_first)
        known = self._recall(key) or await self._fetch(key)
        if known is not None:
            yield PhoneChunk(known.ulaw, known.level_dbfs, is_last=True)
            return
        async with closing(self._flight(key).listen()) as chunks:
            async for chunk in chunks:
                yield chunk

    def prepared(self, text: str) -> PhoneChunk | None:
        """Return a text that is at hand, whole and at once; several sentences are joined."""
        sentences = split_sentences(text)
        records = [entry.record for one in sentences if (entry := self._at_hand(one)) is not None]
        if not records or len(records) < len(sentences):
            self._count("miss")
            return None
        self._count("pinned")
        level_dbfs = max(record.level_dbfs for record in records)
        ulaw = _PAUSE.join(record.ulaw for record in records)
        return PhoneChunk(ulaw, level_dbfs, is_last=True)

    async def prepare(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Make fixed texts in advance: greeting, fillers, goodbye, apology. They are kept.

        Returns:
            the sentences that no voice could make, the one of last resort included.
        """
        sentences = list(dict.fromkeys(one for text in texts for one in split_sentences(text)))
        gate = asyncio.Semaphore(_PREPARED_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._prepare(one, gate)) for one in sentences]
        missing = [one for one, task in zip(sentences, tasks, strict=True) if not task.result()]
        if missing:
            _log.warning("speech_not_prepared", sentences=len(missing))
        return tuple(missing)

    # --- what is known -----------------------------------------------------------------------

    def _recall(self, key: _Key) -> SpeechRecord | None:
        pin = self._pinned.get(key[0])
        if pin is not None and pin.is_own:
            self._count("pinned")
            return pin.record
        entry = self._memory.get(key)
        if entry is None:
            return None
        self._count("memory")
        if self._shares_repeats:
            self._share(key, entry)
        return entry.record

    def _at_hand(self, sentence: str) -> Entry | None:
        return self._pinned.get(sentence) or self._memory.get((sentence, True))

    async def _fetch(self, key: _Key, *, wait_s: float | None = None) -> SpeechRecord | None:
        """Ask what the workers share; at once None for what is not likely to be there."""
        if self._shared is None:
            return None
        record = await self._shared.get(self._name(key), wait_s=wait_s)
        if record is not None:
            self._count("redis")
            self._memory.put(key, Entry(record, is_shared=True))
        return record

    def _share(self, key: _Key, entry: Entry) -> None:
        if self._shared is not None and entry.is_own and not entry.is_shared:
            entry.is_shared = True
            self._shared.offer(self._name(key), entry.record)

    def _name(self, key: _Key) -> str:
        return speech_key(self._voice_key, key[0], is_first=key[1])

    def _count(self, result: str) -> None:
        self._metrics.speech_cache.labels(result).inc()

    # --- making ------------------------------------------------------------------------------

    def _flight(self, key: _Key) -> Flight:
        flight = self._flights.get(key)
        self._count("miss" if flight is None else "joined")
        if flight is None:

            def forget(over: Flight) -> None:
                if self._flights.get(key) is over:
                    del self._flights[key]

            flight = self._flights[key] = Flight(self._make(key), self._owner, on_over=forget)
        return flight

    async def _make(self, key: _Key) -> AsyncIterator[PhoneChunk]:
        """Synthesise a sentence, and remember it when it is whole and the voice's own."""
        pieces = self._synthesiser.speak(key[0])
        speakers = pieces if isinstance(pieces, Attributed) else None
        whole = bytearray()
        told = 0
        async with closing(self._converted(self._synthesiser, pieces, key[1])) as chunks:
            async for chunk in chunks:
                whole += chunk.ulaw
                is_own = speakers is None or speakers.is_first_choice
                if chunk.is_last and whole and is_own:
                    self._remember(key, SpeechRecord(bytes(whole), chunk.level_dbfs))
                usage = speakers.usage[told:] if speakers is not None else ()
                told += len(usage)
                yield replace(chunk, usage=usage)

    async def _converted(
        self, synthesiser: Synthesiser, pieces: AsyncIterator[Pcm], is_first: bool
    ) -> AsyncIterator[PhoneChunk]:
        voice = PhoneVoice(synthesiser.sample_rate_hz, trims_start=is_first)
        size = 0
        async with closing(pieces):
            is_last = False
            while not is_last:
                async with asyncio.timeout(self._chunk_timeout_s):
                    pcm = await anext(pieces, None)
                is_last = pcm is None
                ulaw = voice.push(pcm)
                size += len(ulaw)
                if size > _LONGEST_BYTES:
                    raise ProviderFailed("speech", "it does not end", FailureCause.GARBAGE)
                yield PhoneChunk(ulaw, voice.level_dbfs, is_last)

    def _remember(self, key: _Key, record: SpeechRecord) -> None:
        pin = self._pinned.get(key[0])
        if key[1] and pin is not None and not pin.is_own:
            self._pin(key[0], Entry(record))
        else:
            self._memory.put(key, Entry(record))

    # --- in advance --------------------------------------------------------------------------

    async def _prepare(self, sentence: str, gate: asyncio.Semaphore) -> bool:
        key = (sentence, True)
        async with gate:
            pin = self._pinned.get(sentence)
            if pin is not None and pin.is_own:
                return True
            entry = self._memory.get(key)
            if entry is None and await self._fetch(key, wait_s=_PREPARE_WAIT_S) is not None:
                entry = self._memory.get(key)
            entry = entry or await self._made(key) or await self._makeshift(sentence)
            if entry is None:
                return False
            self._share(key, entry)
            self._pin(sentence, entry)
            return True

    async def _made(self, key: _Key) -> Entry | None:
        """Have the synthesiser speak; where a fallback voice had to help, that is makeshift."""
        whole = bytearray()
        level_dbfs = 0.0
        try:
            async with closing(self._flight(key).listen()) as chunks:
                async for chunk in chunks:
                    whole += chunk.ulaw
                    level_dbfs = chunk.level_dbfs
        except (ProviderError, TimeoutError) as exc:
            _log.warning("speech_not_made", error=str(exc))
            return None
        own = self._memory.get(key) or self._pinned.get(key[0])
        if own is not None and own.is_own:
            return own
        return Entry(SpeechRecord(bytes(whole), level_dbfs), is_own=False) if whole else None

    async def _makeshift(self, sentence: str) -> Entry | None:
        voice = self._last_resort
        if voice is None:
            return None
        whole = bytearray()
        level_dbfs = 0.0
        try:
            spoken = self._converted(voice, voice.speak(sentence), True)
            async with closing(spoken) as chunks:
                async for chunk in chunks:
                    whole += chunk.ulaw
                    level_dbfs = chunk.level_dbfs
        except (ProviderError, TimeoutError) as exc:
            _log.warning("last_resort_failed", error=str(exc))
            return None
        return Entry(SpeechRecord(bytes(whole), level_dbfs), is_own=False) if whole else None

    def _pin(self, sentence: str, entry: Entry) -> None:
        for text, unpinned in self._pinned.put(sentence, entry):
            if unpinned.is_own:
                self._memory.put((text, True), unpinned)
