"""The Transcriber on PocketSphinx, in processes of its own.

A stream keeps the utterance in hand. Decoding happens as a whole, in another process, so that the
event loop never waits for it; and it happens early: as soon as the caller has been quiet for a
moment the utterance is sent, and when the turn really ends there the answer is already in. When
the caller goes on, that answer is dropped and the longer utterance is sent later.

    stream ── utterance ──▶ queue (ends of turns first) ──▶ process ──▶ Final, in order

A process that dies or hangs is replaced, and the utterance it had is sent again, once.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import structlog

from services.agent.providers.base import (
    FRAME_SAMPLES,
    PHONE_RATE_HZ,
    Expectation,
    Final,
    Partial,
    Pcm,
    TranscriberEvent,
    TranscriberFailed,
)
from services.agent.providers.errors import ProviderUnavailable
from services.agent.providers.offline.sphinx_worker import LENGTH, serialize_request
from services.agent.providers.transcript_events import TranscriptEvents
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
_NAME = "sphinx"
_ROOT = Path(__file__).resolve().parents[4]
_WORKER = (sys.executable, "-m", "services.agent.providers.offline.sphinx_worker")

_PREROLL_SAMPLES = int(0.4 * PHONE_RATE_HZ)
_MOST_SAMPLES = 20 * PHONE_RATE_HZ
_QUIET_SAMPLES = int(0.22 * PHONE_RATE_HZ)
_QUIET_RATIO = 10 ** (-15 / 10)

_START_TIMEOUT_S = 15.0
_DECODE_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 1.0
_LONGEST_PAUSE_S = 10.0
_ATTEMPTS = 2


@dataclass(slots=True, eq=False)
class _Utterance:
    """One utterance on its way. `is_ended`: the turn is over, its event is waited for."""

    audio: bytes
    expectation: Expectation
    is_ended: bool = False
    is_wanted: bool = True
    attempts: int = 0
    event: Final | TranscriberFailed | None = None
    on_event: Callable[[], None] = field(default=lambda: None)

    def settle(self, event: Final | TranscriberFailed) -> None:
        """Set what came of it."""
        if self.event is None:
            self.event = event
            self.on_event()


class SphinxTranscriber:
    """The recogniser of a worker; an asynchronous context manager that starts its processes.

    Args:
        processes: how many; one decodes some ten seconds of speech a second.
        queue_size: utterances that may wait, early ones apart; one more is refused with
            TranscriberFailed.
        on_dropped: told how many frames of 20 ms were dropped, oldest first, from an utterance
            that went on for more than 20 s.

    Attributes:
        refused: ended utterances refused because the queue was full.
        restarts: processes that had to be replaced.
    """

    def __init__(
        self,
        *,
        processes: int = 1,
        queue_size: int = 128,
        on_dropped: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._processes = processes
        self._queue_size = queue_size
        self._ended: deque[_Utterance] = deque()
        self._early: deque[_Utterance] = deque()
        self._work = asyncio.Semaphore(0)
        self._owner = TaskOwner(_NAME, stop_timeout_s=2 * _STOP_TIMEOUT_S)
        self._workers: set[_Worker] = set()
        self._is_open = False
        self.refused = 0
        self.restarts = 0
        self.on_dropped = on_dropped

    async def __aenter__(self) -> Self:
        """Start the processes and wait until all are ready.

        Raises:
            ProviderUnavailable: one did not start, or not in time.
        """
        workers = []
        try:
            for _ in range(self._processes):
                workers.append(await _Worker.start())
        except _WorkerLost as exc:
            for worker in workers:
                await worker.stop()
            raise ProviderUnavailable(_NAME, f"the recogniser did not start: {exc}") from exc
        self._workers.update(workers)
        for number, worker in enumerate(workers):
            self._owner.start(self._serve(worker), name=f"process-{number}")
        self._is_open = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_open = False
        await self._owner.stop()
        # A task cancelled before its first step never came to stop its process.
        for worker in tuple(self._workers):
            await worker.stop()
        self._workers.clear()
        for utterance in (*self._ended, *self._early):
            utterance.settle(TranscriberFailed("the recogniser is stopping", is_recoverable=False))

    @property
    def process_ids(self) -> tuple[int, ...]:
        """The processes at work now."""
        return tuple(worker.process_id for worker in self._workers)

    def open(self, expect: Expectation) -> SphinxStream:
        """See Transcriber."""
        if not self._is_open:
            raise ProviderUnavailable(_NAME, "the recogniser is not started")
        return SphinxStream(self, expect)

    # --- what streams ask for ----------------------------------------------------------------

    def submit(self, utterance: _Utterance) -> None:
        """Queue an utterance; ends of turns are served first."""
        if not self._is_open:
            utterance.settle(TranscriberFailed("the recogniser is stopped", is_recoverable=False))
            return
        queue = self._ended if utterance.is_ended else self._early
        if len(queue) >= self._queue_size:
            self.refused += utterance.is_ended
            utterance.settle(TranscriberFailed("too many utterances wait", is_recoverable=True))
            return
        queue.append(utterance)
        self._work.release()

    def hurry(self, utterance: _Utterance) -> None:
        """The turn ended with this utterance: serve it before the early ones."""
        utterance.is_ended = True
        if utterance in self._early:
            self._early.remove(utterance)
            self.submit(utterance)

    # --- processes ---------------------------------------------------------------------------

    async def _serve(self, worker: _Worker) -> None:
        """Keep one process at work, replacing it when it is lost."""
        pause_s = 0.1
        current: _Worker | None = worker
        while True:
            try:
                if current is None:
                    current = await _Worker.start()
                    pause_s = 0.1
                self._workers.add(current)
                while True:
                    await self._serve_next(current)
            except _WorkerLost as exc:
                self.restarts += 1
                _log.warning("recogniser_lost", error=str(exc), restarts=self.restarts)
            finally:
                if current is not None:
                    self._workers.discard(current)
                    await current.stop()
            current = None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _serve_next(self, worker: _Worker) -> None:
        await worker.wait_for(self._work)
        utterance = (self._ended or self._early).popleft() if self._ended or self._early else None
        if utterance is None or not utterance.is_wanted:
            return
        utterance.attempts += 1
        try:
            utterance.settle(await worker.recognise(utterance))
        except _WorkerLost as exc:
            if utterance.attempts < _ATTEMPTS:
                queue = self._ended if utterance.is_ended else self._early
                queue.appendleft(utterance)
                self._work.release()
            else:
                utterance.settle(TranscriberFailed(str(exc), is_recoverable=True))
            raise


class SphinxStream:
    """One call's ear. See TranscriberStream."""

    def __init__(self, transcriber: SphinxTranscriber, expect: Expectation) -> None:
        self._transcriber = transcriber
        self._expectation = expect
        self._chunks: deque[Pcm] = deque()
        self._samples = 0
        self._loudest = 0.0
        self._loud_until = 0
        self._heard_expectation: Expectation | None = None
        self._early: _Utterance | None = None
        self._early_until = 0
        self._pending: deque[_Utterance] = deque()
        self._events = TranscriptEvents()

    def push(self, pcm: Pcm) -> None:
        """See TranscriberStream."""
        if self._events.is_ended or not len(pcm):
            return
        self._chunks.append(pcm.copy())
        self._samples += len(pcm)
        if self._heard_expectation is None:
            while self._samples - len(self._chunks[0]) >= _PREROLL_SAMPLES:
                self._samples -= len(self._chunks.popleft())
            return
        while self._samples > _MOST_SAMPLES and len(self._chunks) > 1:
            self._drop_oldest()
        self._follow_level(pcm)
        if self._samples - self._loud_until >= _QUIET_SAMPLES and (
            self._early is None or self._early_until != self._loud_until
        ):
            self._give_up_early()
            early = self._early = self._make_utterance()
            self._early_until = self._loud_until
            early.on_event = lambda: self._tell_early(early)
            self._transcriber.submit(early)

    def begin(self) -> None:
        """See TranscriberStream."""
        if self._events.is_ended or self._heard_expectation is not None:
            return
        self._heard_expectation = self._expectation
        self._loudest = 0.0
        self._loud_until = self._samples
        for chunk in self._chunks:
            self._loudest = max(self._loudest, _power(chunk))

    def end(self) -> None:
        """See TranscriberStream."""
        if self._events.is_ended:
            return
        if self._heard_expectation is None:
            utterance = _Utterance(b"", self._expectation)
            utterance.event = Final("", is_understood=False, confidence=0.0)
            self._wait_for(utterance)
            return
        early = self._early
        if early is not None and self._early_until == self._loud_until and not _has_failed(early):
            self._early = None
            self._wait_for(early)
            self._transcriber.hurry(early)
        else:
            self._give_up_early()
            utterance = self._make_utterance()
            utterance.is_ended = True
            self._wait_for(utterance)
            self._transcriber.submit(utterance)
        self._heard_expectation = None
        while self._samples - len(self._chunks[0]) >= _PREROLL_SAMPLES:
            self._samples -= len(self._chunks.popleft())

    def expect(self, expectation: Expectation) -> None:
        """See TranscriberStream."""
        self._expectation = expectation

    def events(self) -> AsyncIterator[TranscriberEvent]:
        """See TranscriberStream.

        A partial is the whole utterance up to a pause: half a phrase would be a guess.
        """
        return aiter(self._events)

    async def aclose(self) -> None:
        """See TranscriberStream."""
        if self._events.is_ended:
            return
        self._give_up_early()
        for utterance in self._pending:
            utterance.is_wanted = False
        self._pending.clear()
        self._chunks.clear()
        self._events.close()

    # --- the utterance in hand ---------------------------------------------------------------

    def _follow_level(self, pcm: Pcm) -> None:
        power = _power(pcm)
        self._loudest = max(self._loudest, power)
        if power > self._loudest * _QUIET_RATIO:
            self._loud_until = self._samples

    def _make_utterance(self) -> _Utterance:
        """Cut what was said, with a little of the silence after it."""
        assert self._heard_expectation is not None
        end = min(self._samples, self._loud_until + _QUIET_SAMPLES)
        audio = np.concatenate(self._chunks)[:end].astype("<i2").tobytes()
        return _Utterance(audio, self._heard_expectation)

    def _drop_oldest(self) -> None:
        size = len(self._chunks.popleft())
        self._samples -= size
        self._loud_until = max(0, self._loud_until - size)
        self._early_until -= size
        self._transcriber.on_dropped(size / FRAME_SAMPLES)

    def _give_up_early(self) -> None:
        if self._early is not None:
            self._early.is_wanted = False
            self._early = None

    # --- events, in the order of the utterances ----------------------------------------------

    def _tell_early(self, early: _Utterance) -> None:
        """Tell what was said before the pause, unless the caller has gone on since."""
        is_current = early is self._early and self._early_until == self._loud_until
        if is_current and isinstance(early.event, Final) and early.event.is_understood:
            self._events.put(Partial(early.event.text, is_settled=True))

    def _wait_for(self, utterance: _Utterance) -> None:
        self._pending.append(utterance)
        utterance.on_event = self._give_settled
        self._give_settled()

    def _give_settled(self) -> None:
        while self._pending and (event := self._pending[0].event) is not None:
            self._pending.popleft()
            self._events.put(event)
            if self._events.is_ended:
                self._pending.clear()


def _power(pcm: Pcm) -> float:
    samples = pcm.astype(np.float32)
    return float(np.dot(samples, samples)) / len(samples)


def _has_failed(utterance: _Utterance) -> bool:
    return isinstance(utterance.event, TranscriberFailed)


class _WorkerLost(Exception):
    """A recogniser's process is gone, hangs or makes no sense."""


class _Worker:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._input = process.stdin
        self._output = process.stdout

    @classmethod
    async def start(cls) -> _Worker:
        """Start a process and wait until it is ready; about half a second.

        Raises:
            _WorkerLost: it did not start, or not in time.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *_WORKER,
                cwd=_ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C is for the parent to deal with
            )
        except OSError as exc:
            raise _WorkerLost(str(exc)) from exc
        worker = cls(process)
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await worker._read_answer()
        except BaseException as exc:
            await worker.stop()
            if isinstance(exc, TimeoutError):
                raise _WorkerLost("not ready in time") from exc
            raise
        return worker

    @property
    def process_id(self) -> int:
        """Its number at the operating system."""
        return self._process.pid

    async def wait_for(self, work: asyncio.Semaphore) -> None:
        """Wait for work, but no longer than the process lives.

        Raises:
            _WorkerLost: it ended.
        """
        async with asyncio.TaskGroup() as group:
            ended = group.create_task(self._process.wait())
            asked = group.create_task(work.acquire())
            await asyncio.wait((ended, asked), return_when=asyncio.FIRST_COMPLETED)
            if ended.done() and asked.done():
                work.release()
            is_lost = ended.done()
            ended.cancel()
            asked.cancel()
        if is_lost:
            raise _WorkerLost(f"ended with code {self._process.returncode}")

    async def recognise(self, utterance: _Utterance) -> Final:
        """Have an utterance recognised.

        Raises:
            _WorkerLost: the process ended, or took too long.
        """
        expectation = utterance.expectation
        request = serialize_request(
            list(expectation.phrases), digits=expectation.digits, audio=utterance.audio
        )
        try:
            async with asyncio.timeout(_DECODE_TIMEOUT_S):
                self._input.write(request)
                await self._input.drain()
                answer = await self._read_answer()
        except TimeoutError as exc:
            raise _WorkerLost("an utterance took too long") from exc
        except OSError as exc:
            raise _WorkerLost(str(exc)) from exc
        return Final(answer["text"], answer["is_understood"], answer["confidence"])

    async def _read_answer(self) -> dict[str, Any]:
        try:
            (size,) = LENGTH.unpack(await self._output.readexactly(LENGTH.size))
            answer: dict[str, Any] = json.loads(await self._output.readexactly(size))
        except (asyncio.IncompleteReadError, ValueError, OSError) as exc:
            raise _WorkerLost("ended, or answered nonsense") from exc
        return answer

    async def stop(self) -> None:
        """End the process: by the end of its input, else by force."""
        self._input.close()
        if self._process.returncode is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_TIMEOUT_S):
                    await self._process.wait()
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
