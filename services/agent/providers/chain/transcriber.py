"""A chain of recognisers, to its user one Transcriber.

A stream that dies, gives an utterance up or is late with its text is left for the next one, which
hears again what is not settled: the pre-roll, the utterances that are owed a text and the one in
hand. So each end of speech gets its one Final, whoever it comes from.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog

from services.agent.providers.base import (
    PHONE_RATE_HZ,
    Expectation,
    Final,
    Partial,
    Pcm,
    Transcriber,
    TranscriberEvent,
    TranscriberFailed,
    TranscriberStream,
)
from services.agent.providers.chain.asking import CLOSE_S, close_quietly, may_pass
from services.agent.providers.chain.breaker import BreakerState
from services.agent.providers.chain.limits import ChainLimits
from services.agent.providers.chain.link import Attempt, Breakers, Chain, Link
from services.agent.providers.chain.utterances import Utterances
from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
)
from shared.runtime.tasks import TaskOwner, closing

_log = structlog.get_logger(__name__)
_EVENTS_KEPT = 256
_REPLAY_RATE = 4.0
"""Seconds of replayed speech that a recogniser is trusted to take in a second."""
_FOR_GOOD = (FailureCause.UNAUTHORIZED, FailureCause.MISSING)


@dataclass(slots=True)
class _Current:
    """The stream that is heard; `samples` is what it was given, `replayed_s` still to be heard."""

    link: Link[Transcriber]
    stream: TranscriberStream
    attempt: Attempt
    samples: int = 0
    replayed_s: float = 0.0


class FallbackTranscriber:
    """The first recogniser that hears.

    A call stays with the one it was brought to; new calls begin with the first again as soon as
    its breaker lets them.
    """

    def __init__(
        self, links: Sequence[Link[Transcriber]], limits: ChainLimits, breakers: Breakers
    ) -> None:
        self._chain = Chain("stt", links, limits, breakers)

    def open(self, expect: Expectation) -> FallbackStream:
        """See Transcriber; raises ProviderUnavailable when none can be opened."""
        return FallbackStream(self._chain, expect)


class FallbackStream:
    """One call's ear. To be opened within a running loop: it has a task of its own."""

    def __init__(self, chain: Chain[Transcriber], expect: Expectation) -> None:
        self._chain = chain
        self._expectation = expect
        self._utterances = Utterances()
        self._events: asyncio.Queue[TranscriberEvent | None] = asyncio.Queue(_EVENTS_KEPT)
        self._owner = TaskOwner("stt_chain")
        self._closers: set[asyncio.Task[None]] = set()
        self._usage: dict[str, float] = {}
        self._bound: asyncio.Timeout | None = None
        self._failed: list[Link[Transcriber]] = []
        self._retries = 0
        self._began_s: float | None = None
        self._ended_s: float | None = None
        self._is_closed = False
        self._current: _Current | None = None
        failure = self._switch(None)
        if failure is not None:
            raise ProviderUnavailable(failure.provider, failure.detail, failure.cause) from failure
        self._owner.start(self._run(), name="follow")

    @property
    def usage(self) -> Mapping[str, float]:
        """Seconds of audio that each provider was given, replayed audio included."""
        seconds = dict(self._usage)
        if self._current is not None:
            name = self._current.link.name
            seconds[name] = seconds.get(name, 0.0) + self._current.samples / PHONE_RATE_HZ
        return seconds

    # --- what is said --------------------------------------------------------------------------

    def push(self, pcm: Pcm) -> None:
        """See TranscriberStream."""
        if self._current is not None:
            self._utterances.push(pcm)
            self._current.samples += len(pcm)
            self._current.stream.push(pcm)

    def begin(self) -> None:
        """See TranscriberStream."""
        if self._current is not None:
            if not self._utterances.has_begun:
                self._began_s = self._chain.now_s()
            self._utterances.begin()
            self._current.stream.begin()

    def end(self) -> None:
        """See TranscriberStream."""
        if self._current is not None:
            self._utterances.end()
            self._current.stream.end()
            self._ended_s = self._chain.now_s()
            if self._utterances.owed == 1:
                self._wait_for_text()

    def expect(self, expectation: Expectation) -> None:
        """See TranscriberStream."""
        self._expectation = expectation
        if self._current is not None:
            self._current.stream.expect(expectation)

    def events(self) -> AsyncIterator[TranscriberEvent]:
        """See TranscriberStream."""
        return self._read()

    async def _read(self) -> AsyncIterator[TranscriberEvent]:
        while (event := await self._events.get()) is not None:
            yield event
        self._events.put_nowait(None)

    async def aclose(self) -> None:
        """See TranscriberStream."""
        if self._is_closed:
            return
        self._is_closed = True
        current = self._leave()
        while not self._events.empty():
            self._events.get_nowait()
        self._events.put_nowait(None)
        try:
            if current is not None:
                current.attempt.on_abandoned()
                await close_quietly(current.stream)
            if self._closers:
                await asyncio.wait(self._closers, timeout=CLOSE_S)
        finally:
            await self._owner.stop()

    # --- who hears it --------------------------------------------------------------------------

    async def _run(self) -> None:
        while (current := self._current) is not None:
            failure = await self._follow(current)
            if self._is_closed:
                return
            current.attempt.on_failure(failure)
            if current.attempt.elapsed_s >= self._chain.limits.breaker_window_s:
                self._forget_failures()  # it did well for a while: this is another trouble
            self._leave()
            self._close(current.stream)
            failed = self._switch(failure, current.link)
            if failed is not None:
                await self._give_up(failed)

    async def _follow(self, current: _Current) -> ProviderError:
        """Pass on what a stream hears until it fails; return how."""
        name = current.link.name
        try:
            async with asyncio.timeout(None) as self._bound:
                self._wait_for_text()
                async with closing(current.stream.events()) as events:
                    async for event in events:
                        if isinstance(event, TranscriberFailed):
                            error = _error_of(name, event)
                            if not event.is_recoverable or self._has_others():
                                return error
                            current.attempt.on_failure(error)
                        await self._pass_on(current, event)
        except TimeoutError:
            return ProviderTimeout(name, "no text in time after the end of speech")
        except ProviderError as exc:
            return exc
        except Exception as exc:  # noqa: BLE001 - top of a task: a vendor's bug must not end a call
            _log.exception("provider_broke", provider=name)
            return ProviderFailed(name, f"unexpected {type(exc).__name__}")
        finally:
            self._bound = None
        return ProviderFailed(name, "the events ended", FailureCause.CUT)

    async def _pass_on(self, current: _Current, event: TranscriberEvent) -> None:
        if self._is_closed:
            return
        if isinstance(event, Partial):
            if self._began_s is not None and event.text:
                current.attempt.observe("first", self._chain.now_s() - self._began_s)
                self._began_s = None
        elif self._utterances.settle():
            self._wait_for_text()
            if isinstance(event, Final):
                self._on_final(current)
        elif isinstance(event, Final):
            return  # a second text for the same end of speech
        await self._events.put(event)

    def _on_final(self, current: _Current) -> None:
        if self._ended_s is not None and self._utterances.owed == 0:
            current.attempt.observe("total", self._chain.now_s() - self._ended_s)
        current.attempt.on_success()
        self._forget_failures()

    def _forget_failures(self) -> None:
        self._failed.clear()
        self._retries = 0

    def _wait_for_text(self) -> None:
        """Bound the wait for the oldest text that is owed, from now on."""
        if self._current is None or self._bound is None or self._bound.expired():
            return
        if self._utterances.owed == 0:
            self._bound.reschedule(None)
            return
        limits = self._chain.limits
        wait_s = limits.stt_final_s + self._current.replayed_s / _REPLAY_RATE
        if not self._has_others():
            wait_s *= limits.last_patience
        self._bound.reschedule(asyncio.get_running_loop().time() + wait_s)

    def _has_others(self) -> bool:
        """Whether somebody else could be asked for what the present one does not hear."""
        current = self._current.link if self._current is not None else None
        return any(
            self._chain.breaker(link).state is not BreakerState.OPEN
            for link in self._chain.links
            if link is not current and link not in self._failed
        )

    def _switch(
        self, failure: ProviderError | None, left: Link[Transcriber] | None = None
    ) -> ProviderError | None:
        """Have the next recogniser hear what is not settled.

        Returns:
            None, or the last error when there is none left.
        """
        for link in self._candidates(failure, left):
            attempt = self._chain.attempt(link)
            try:
                stream = link.part.open(self._expectation)
            except ProviderError as exc:
                attempt.on_failure(exc)
                self._failed.append(link)
                failure = exc
                continue
            self._current = current = _Current(link, stream, attempt)
            current.replayed_s = self._utterances.replay(stream)
            current.samples = round(current.replayed_s * PHONE_RATE_HZ)
            return None
        return failure or ProviderFailed("stt", "nobody may be asked", FailureCause.UNREACHABLE)

    def _candidates(
        self, failure: ProviderError | None, left: Link[Transcriber] | None
    ) -> Iterator[Link[Transcriber]]:
        if failure is not None and left is not None:
            is_closed = self._chain.breaker(left).state is BreakerState.CLOSED
            has_tries = self._retries < self._chain.limits.retries
            # A stream that never came about has tried often enough itself.
            was_cut = failure.cause is FailureCause.CUT
            if is_closed and has_tries and was_cut and may_pass(failure):
                self._retries += 1
                self._chain.metrics.retries.labels("stt", left.name).inc()
                yield left
            self._failed.append(left)
            self._retries = 0
        yield from self._chain.usable(tuple(self._failed))

    def _leave(self) -> _Current | None:
        """Give the present stream up and add up what it was used for."""
        current, self._current = self._current, None
        if current is not None:
            current.attempt.on_left()
            name, seconds = current.link.name, current.samples / PHONE_RATE_HZ
            self._usage[name] = self._usage.get(name, 0.0) + seconds
            self._chain.metrics.usage.labels("stt", name, "audio_seconds").inc(seconds)
            self._count_losses(current)
        return current

    def _count_losses(self, current: _Current) -> None:
        """Count what a stream has mended by itself: no word was lost, but something is wrong."""
        losses: Mapping[FailureCause, int] = getattr(current.stream, "losses", {})
        name, metrics = current.link.name, self._chain.metrics
        for cause, times in losses.items():
            metrics.errors.labels("stt", name, cause.value).inc(times)
            metrics.retries.labels("stt", name).inc(times)

    def _close(self, stream: TranscriberStream) -> None:
        task = self._owner.start(close_quietly(stream), name="close")
        self._closers.add(task)
        task.add_done_callback(self._closers.discard)

    async def _give_up(self, failure: ProviderError) -> None:
        """Answer every end of speech that has had no text; then the stream is dead."""
        while self._utterances.owed > 1:
            self._utterances.settle()
            lost = TranscriberFailed(failure.detail, is_recoverable=True, cause=failure.cause)
            await self._events.put(lost)
        dead = TranscriberFailed(failure.detail, is_recoverable=False, cause=failure.cause)
        await self._events.put(dead)
        await self._events.put(None)


def _error_of(name: str, event: TranscriberFailed) -> ProviderError:
    if event.cause in _FOR_GOOD:
        return ProviderUnavailable(name, event.detail, event.cause)
    if event.cause is FailureCause.TIMEOUT:
        return ProviderTimeout(name, event.detail)
    is_cut = event.cause is FailureCause.BROKEN and not event.is_recoverable
    return ProviderFailed(name, event.detail, FailureCause.CUT if is_cut else event.cause)
