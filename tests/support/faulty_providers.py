"""Providers that fail as vendors do, by script, and what a chain of them needs.

A fault stands for one call of a provider; a provider whose faults are used up is well. The same
faults are for models, voices, recognisers and brains, each at the places it has.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from prometheus_client import CollectorRegistry

from services.agent.providers.base import (
    PHONE_RATE_HZ,
    ChatMessage,
    Expectation,
    Final,
    LanguageDelta,
    Partial,
    Pcm,
    TextDelta,
    ToolCall,
    ToolSpec,
    TranscriberEvent,
    TranscriberFailed,
    Usage,
)
from services.agent.providers.chain.limits import ChainLimits
from services.agent.providers.chain.link import Breakers
from services.agent.providers.errors import (
    FailureCause,
    ProviderError,
    ProviderFailed,
    ProviderUnavailable,
    failure_of_status,
)
from shared.metrics.catalogue import ProviderMetrics
from tests.support.virtual_loop import LoopClock

LIMITS = ChainLimits()


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one call.

    `after`: pieces that come before it. `error` None: the provider falls silent instead.
    """

    cause: FailureCause | None
    after: int = 0
    error: BaseException | None = None

    async def strike(self) -> None:
        if self.error is None:
            await asyncio.Event().wait()
        else:
            raise self.error


def refused() -> Fault:
    error = ProviderFailed("vendor", "connection refused", FailureCause.UNREACHABLE)
    return Fault(FailureCause.UNREACHABLE, error=error)


def status(code: int) -> Fault:
    error = failure_of_status("vendor", code, "")
    return Fault(error.cause, error=error)


def missing() -> Fault:
    error = ProviderUnavailable("vendor", "no key", FailureCause.MISSING)
    return Fault(FailureCause.MISSING, error=error)


def stalled(after: int = 0) -> Fault:
    return Fault(FailureCause.TIMEOUT, after)


def cut(after: int = 0) -> Fault:
    return Fault(FailureCause.CUT, after, ProviderFailed("vendor", "cut off", FailureCause.CUT))


def garbage(after: int = 0) -> Fault:
    error = ProviderFailed("vendor", "not JSON", FailureCause.GARBAGE)
    return Fault(FailureCause.GARBAGE, after, error)


def bug(after: int = 0) -> Fault:
    return Fault(FailureCause.BROKEN, after, KeyError("choices"))


class Faults:
    """Faults in the order of the calls; None: that call goes well."""

    def __init__(self, *faults: Fault | None) -> None:
        self._faults = deque(faults)
        self.calls = 0

    def next(self) -> Fault | None:
        self.calls += 1
        return self._faults.popleft() if self._faults else None


class FaultyModel:
    """Says its pieces, one each `pace_s`."""

    def __init__(
        self, pieces: Sequence[str | LanguageDelta], *faults: Fault | None, pace_s: float = 0.05
    ) -> None:
        self.pieces = pieces
        self.faults = Faults(*faults)
        self.pace_s = pace_s
        self.asked: list[list[ChatMessage]] = []
        self.open = 0

    async def stream(
        self, messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[LanguageDelta]:
        self.asked.append(list(messages))
        fault = self.faults.next()
        self.open += 1
        try:
            for place, piece in enumerate(self.pieces):
                await asyncio.sleep(self.pace_s)
                if fault is not None and fault.after == place:
                    await fault.strike()
                yield TextDelta(piece) if isinstance(piece, str) else piece
            if fault is not None:
                await fault.strike()
        finally:
            self.open -= 1


def call_of(name: str) -> ToolCall:
    return ToolCall("call-1", name, "{}")


def tokens(amount: float) -> Usage:
    return Usage("llm", "whatever", "output_tokens", amount)


class FaultyVoice:
    """Speaks a steady tone, 70 ms a character, in chunks of 0.1 s.

    `hz` tells voices apart in what a caller hears.
    """

    def __init__(
        self, hz: int, *faults: Fault | None, rate_hz: int = 24_000, pace_s: float = 0.01
    ) -> None:
        self.hz = hz
        self.sample_rate_hz = rate_hz
        self.faults = Faults(*faults)
        self.pace_s = pace_s
        self.spoken: list[str] = []
        self.open = 0

    async def speak(self, text: str) -> AsyncIterator[Pcm]:
        self.spoken.append(text)
        fault = self.faults.next()
        rate = self.sample_rate_hz
        times_s = np.arange(int(0.07 * len(text) * rate)) / rate
        tone = np.rint(4634 * np.sin(2 * np.pi * self.hz * times_s)).astype(np.int16)
        chunk = rate // 10
        self.open += 1
        try:
            for place in range(-(-len(tone) // chunk)):
                await asyncio.sleep(self.pace_s)
                if fault is not None and fault.after == place:
                    await fault.strike()
                yield tone[place * chunk : (place + 1) * chunk].copy()
            if fault is not None:
                await fault.strike()
        finally:
            self.open -= 1


class FaultyEar:
    """Hears how much was said: the Final's text is `<name> <tenths of seconds>`.

    The tenths are those pushed between begin and end, pre-roll left out. A fault strikes at its
    call's `end`, or with `after` 0 at its `begin`; an error with no cause falls silent.
    """

    def __init__(self, name: str, *faults: Fault | None, can_open: bool = True) -> None:
        self.name = name
        self.faults = Faults(*faults)
        self.can_open = can_open
        self.streams: list[FaultyEarStream] = []

    def open(self, expect: Expectation) -> FaultyEarStream:
        if not self.can_open:
            raise ProviderUnavailable(self.name, "not started", FailureCause.MISSING)
        stream = FaultyEarStream(self, expect)
        self.streams.append(stream)
        return stream


class FaultyEarStream:
    """See FaultyEar. Answers 0.1 s after the end."""

    def __init__(self, ear: FaultyEar, expect: Expectation) -> None:
        self.ear = ear
        self.expectation = expect
        self.heard: list[Pcm] = []
        self.marks: list[str] = []
        self.is_closed = False
        self._is_listening = False
        self._speech = 0
        self._fault: Fault | None = None
        self._events: asyncio.Queue[TranscriberEvent | None] = asyncio.Queue()

    def push(self, pcm: Pcm) -> None:
        self.heard.append(pcm.copy())
        if self._is_listening:
            self._speech += len(pcm)

    def begin(self) -> None:
        self.marks.append("begin")
        if self._is_listening or self.is_closed:
            return
        self._is_listening, self._speech = True, 0
        self._fault = self.ear.faults.next()
        if self._fault is not None and self._fault.after == 0:
            self._strike(self._fault)

    def end(self) -> None:
        self.marks.append("end")
        if self.is_closed:
            return
        if not self._is_listening:
            self._events.put_nowait(Final("", is_understood=False, confidence=0.0))
            return
        self._is_listening = False
        fault, self._fault = self._fault, None
        if fault is not None:
            if fault.after > 0:
                self._strike(fault)
            return
        text = f"{self.ear.name} {round(self._speech / PHONE_RATE_HZ * 10)}"
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, self.emit, Partial(text))
        loop.call_later(0.1, self.emit, Final(text, is_understood=True, confidence=0.9))

    def _strike(self, fault: Fault) -> None:
        if fault.error is None:
            return
        cause = fault.error.cause if isinstance(fault.error, ProviderError) else None
        self.emit(TranscriberFailed("by script", False, cause or FailureCause.BROKEN))
        self.emit(None)

    def emit(self, event: TranscriberEvent | None) -> None:
        if not self.is_closed:
            self._events.put_nowait(event)

    def expect(self, expectation: Expectation) -> None:
        self.expectation = expectation

    async def events(self) -> AsyncIterator[TranscriberEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def aclose(self) -> None:
        self.is_closed = True
        self._events.put_nowait(None)


class Meters:
    """A worker's breakers and provider metrics, with what was counted, for reading."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = ProviderMetrics(self.registry)
        self.breakers = Breakers(self.metrics, LoopClock())

    def of(self, name: str) -> Mapping[tuple[str, ...], float]:
        """Return a metric's samples that are not nought, by their labels in alphabetical order."""
        return {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == name and sample.value
        }
