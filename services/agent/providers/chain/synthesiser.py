"""A chain of voices, to its user one Synthesiser at the phone's rate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from services.agent.providers.base import PHONE_RATE_HZ, Pcm, Synthesiser, Usage
from services.agent.providers.chain.asking import pieces_of
from services.agent.providers.chain.limits import ChainLimits
from services.agent.providers.chain.link import Breakers, Chain, Link
from services.agent.providers.chain.remainder import Pace
from services.agent.providers.errors import FailureCause, ProviderError, ProviderFailed
from services.agent.providers.warmth import warm
from services.agent.speech.voice_audio import LeadingSilence
from shared.audio.resample import Resampler
from shared.runtime.tasks import closing

_NOTHING: Pcm = np.empty(0, dtype=np.int16)


@runtime_checkable
class Attributed(Protocol):
    """Speech that knows who spoke it; what it tells is complete once it has been read."""

    @property
    def served_by(self) -> tuple[str, ...]:
        """The providers whose audio is in it, in order."""
        ...

    @property
    def is_first_choice(self) -> bool:
        """Whether all of it is of the chain's first voice, which did not break off."""
        ...

    @property
    def usage(self) -> tuple[Usage, ...]:
        """What the providers were asked to speak, those that failed included."""
        ...


class FallbackSynthesiser:
    """The first voice that speaks; where it breaks off the next one says the rest.

    The second voice begins after the words that the first had spoken, by an estimate of
    `remainder.py`, and without its leading silence.
    """

    def __init__(
        self, links: Sequence[Link[Synthesiser]], limits: ChainLimits, breakers: Breakers
    ) -> None:
        self._chain = Chain("tts", links, limits, breakers)
        self._paces = {link: Pace() for link in links}

    @property
    def sample_rate_hz(self) -> int:
        """See Synthesiser."""
        return PHONE_RATE_HZ

    async def warm(self) -> None:
        """See Warmable; the first of the chain."""
        await warm(self._chain.links[0].part)

    def speak(self, text: str) -> ChainSpeech:
        """See Synthesiser; raises the last voice's error when all have failed."""
        return ChainSpeech(self._chain, self._paces, text)


class ChainSpeech:
    """One text being spoken. Iterated once; see Attributed."""

    def __init__(
        self, chain: Chain[Synthesiser], paces: dict[Link[Synthesiser], Pace], text: str
    ) -> None:
        self._chain = chain
        self._paces = paces
        self._text = text
        self._served_by: list[Link[Synthesiser]] = []
        self._usage: list[Usage] = []
        self._has_failed = False
        self._pieces = self._speak()

    @property
    def served_by(self) -> tuple[str, ...]:
        """See Attributed."""
        return tuple(link.name for link in self._served_by)

    @property
    def is_first_choice(self) -> bool:
        """See Attributed."""
        return not self._has_failed and self._served_by == [self._chain.links[0]]

    @property
    def usage(self) -> tuple[Usage, ...]:
        """See Attributed."""
        return tuple(self._usage)

    def __aiter__(self) -> AsyncIterator[Pcm]:
        return self

    async def __anext__(self) -> Pcm:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """Stop the work behind it."""
        await self._pieces.aclose()  # type: ignore[attr-defined] # a generator of ours

    async def _speak(self) -> AsyncIterator[Pcm]:
        rest = self._text
        failure: ProviderError | None = None
        for link in self._chain.usable():
            voice = _Voice(link.part.sample_rate_hz, goes_on=rest != self._text)
            self._note(link, rest)
            try:
                async with closing(self._ask(link, rest)) as pieces:
                    async for pcm in pieces:
                        if len(phone := voice.push(pcm)):
                            self._credit(link)
                            yield phone
                if len(phone := voice.push(None)):
                    yield phone
                self._paces[link].learn(rest, voice.seconds)
                return
            except ProviderError as exc:
                failure = exc
                self._has_failed = True
            # What is in the resampler was spoken too.
            if len(phone := voice.push(None)):
                yield phone
            rest = self._paces[link].rest(rest, voice.seconds)
            if not rest:
                return
        assert failure is not None, "a chain asks one link at least"
        raise failure

    def _ask(self, link: Link[Synthesiser], text: str) -> AsyncIterator[Pcm]:
        limits = self._chain.limits
        patience = limits.last_patience if link.is_here else 1.0
        return pieces_of(
            self._chain,
            link,
            lambda voice: _audible(link.name, voice, text),
            first_s=patience * limits.tts_first_s,
            next_s=patience * limits.tts_next_s,
        )

    def _note(self, link: Link[Synthesiser], text: str) -> None:
        amount = float(len(text))
        self._usage.append(Usage("tts", link.name, "characters", amount))
        self._chain.metrics.usage.labels("tts", link.name, "characters").inc(amount)

    def _credit(self, link: Link[Synthesiser]) -> None:
        if self._served_by[-1:] != [link]:
            self._served_by.append(link)


async def _audible(name: str, voice: Synthesiser, text: str) -> AsyncIterator[Pcm]:
    """Yield a voice's audio; none at all for a text with words in it is no speech."""
    is_audible = not any(char.isalnum() for char in text)
    async with closing(voice.speak(text)) as pieces:
        async for pcm in pieces:
            if pcm.dtype != np.int16 or pcm.ndim != 1:
                raise ProviderFailed(name, "audio that is none", FailureCause.GARBAGE)
            is_audible = True
            yield pcm
    if not is_audible:
        raise ProviderFailed(name, "no audio for a text", FailureCause.GARBAGE)


class _Voice:
    """One provider's audio on its way to the phone's rate.

    `seconds` is how much came, leading silence included.
    """

    def __init__(self, rate_hz: int, *, goes_on: bool) -> None:
        self._rate_hz = rate_hz
        self._resampler = Resampler(rate_hz, PHONE_RATE_HZ)
        self._silence = LeadingSilence() if goes_on else None
        self.seconds = 0.0

    def push(self, pcm: Pcm | None) -> Pcm:
        """Convert a piece; None lets out what is still inside."""
        is_last = pcm is None
        pcm = _NOTHING if pcm is None else pcm
        self.seconds += len(pcm) / self._rate_hz
        phone = self._resampler.push(pcm, last=is_last)
        return self._silence.push(phone, is_last=is_last) if self._silence is not None else phone
