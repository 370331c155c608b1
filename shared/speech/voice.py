"""An offline voice: text in, phone-level speech out, streamed or whole.

    text -> clean -> pieces -> engine (worker thread) -> trim -> gain -> chunks -> event loop

The engine runs in a small pool of threads. Samples cross to the loop without ever making a thread
wait for a slow listener: a piece is short (`MAX_PIECE_CHARS`), the next one starts only when the
former has been taken, so a stream holds at most one piece (about 15 s, 0.5 MB).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from shared.speech.command import CommandEngine
from shared.speech.engine import Engine
from shared.speech.errors import SpeechError, SynthesisFailed, VoiceUnavailable
from shared.speech.espeak import EspeakEngine
from shared.speech.flite import FliteEngine
from shared.speech.level import SilenceTrimmer, apply_gain, gain_to_target
from shared.speech.text import clean_text, split_pieces

Pcm = NDArray[np.int16]

_THREADS = 4
_CHUNK_S = 0.1  # the first ones are shorter: they are waited for
_LEAD_S = 0.05
_PAUSE_S = 0.25
_LAST_TAIL_S = 0.08
_SAMPLE_SENTENCE = "The morning is bright, and we are going for a walk along the river."


class Voice:
    """One engine at phone level; any number of texts may be spoken at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="speech")
        self._gain = gain_to_target(self._render(_SAMPLE_SENTENCE), engine.sample_rate_hz)

    @property
    def name(self) -> str:
        """Engine and voice, e.g. `flite/rms`."""
        return self._engine.name

    @property
    def sample_rate_hz(self) -> int:
        """Rate of everything this voice says."""
        return self._engine.sample_rate_hz

    def synthesise(self, text: str) -> Pcm:
        """Speak a whole text, blocking; empty when nothing in it can be pronounced.

        Raises:
            SynthesisFailed: the engine broke.
        """
        chunks: list[Pcm] = []
        for piece, is_last in self._pieces(text):
            self._speak(piece, is_last=is_last, sink=_always(chunks.append))
        return np.concatenate(chunks) if chunks else np.zeros(0, np.int16)

    async def stream(self, text: str) -> AsyncGenerator[Pcm, None]:
        """Speak a text of any length, yielding chunks as they exist (25 ms at first, then 100).

        Closing the iterator, or cancelling the wait, stops the synthesis within one chunk.

        Raises:
            SynthesisFailed: the engine broke; what was yielded stands.
        """
        for piece, is_last in self._pieces(text):
            handover = _HandOver(asyncio.get_running_loop())
            self._threads.submit(self._run, piece, is_last, handover)
            try:
                async for chunk in handover:
                    yield chunk
            finally:
                handover.is_wanted = False

    def close(self) -> None:
        """Let running syntheses end and free the threads; the voice is of no use afterwards."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _pieces(self, text: str) -> Iterator[tuple[str, bool]]:
        cleaned = clean_text(text, is_ascii_only=self._engine.is_ascii_only)
        waiting = None
        for piece in split_pieces(cleaned):
            if waiting is not None:
                yield waiting, False
            waiting = piece
        if waiting is not None:
            yield waiting, True

    def _run(self, piece: str, is_last: bool, handover: _HandOver) -> None:
        try:
            self._speak(piece, is_last=is_last, sink=handover.give)
        except SpeechError as exc:
            handover.finish(exc)
        except Exception as exc:  # noqa: BLE001 # top of the thread: the listener gets it
            handover.finish(SynthesisFailed(self.name, repr(exc)))
        else:
            handover.finish(None)

    def _speak(self, piece: str, *, is_last: bool, sink: Callable[[Pcm], bool]) -> None:
        trimmer = SilenceTrimmer(
            self.sample_rate_hz, lead_s=_LEAD_S, tail_s=_LAST_TAIL_S if is_last else _PAUSE_S
        )

        gathered: list[Pcm] = []
        wanted = 0

        def pass_on() -> bool:
            nonlocal wanted
            samples = apply_gain(np.concatenate(gathered), self._gain)
            gathered.clear()
            for part in trimmer.push(samples):
                wanted = min(wanted + len(part), int(self.sample_rate_hz * _CHUNK_S))
                if not sink(part):
                    return False
            return True

        def on_samples(samples: Pcm) -> bool:
            gathered.append(samples)
            return sum(map(len, gathered)) < wanted or pass_on()

        self._engine.render(piece, on_samples)
        if gathered:
            pass_on()
        for part in trimmer.finish():
            sink(part)

    def _render(self, text: str) -> Pcm:
        chunks: list[Pcm] = []
        self._engine.render(text, _always(chunks.append))
        return np.concatenate(chunks) if chunks else np.zeros(0, np.int16)


class _HandOver:
    """Carries one piece's chunks from a synthesis thread to the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_wanted = True
        self._loop = loop
        self._chunks: deque[Pcm] = deque()
        self._news = asyncio.Event()
        self._is_finished = False
        self._error: SpeechError | None = None

    def give(self, chunk: Pcm) -> bool:
        """Called in the thread; False when nobody listens any more."""
        if self.is_wanted:
            self._call(lambda: self._take(chunk))
        return self.is_wanted

    def finish(self, error: SpeechError | None) -> None:
        """Called in the thread, once, last."""
        self._call(lambda: self._end(error))

    def _call(self, function: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:  # the loop is closed: nobody listens any more
            self.is_wanted = False

    def _take(self, chunk: Pcm) -> None:
        self._chunks.append(chunk)
        self._news.set()

    def _end(self, error: SpeechError | None) -> None:
        self._is_finished, self._error = True, error
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[Pcm]:
        while True:
            while self._chunks:
                yield self._chunks.popleft()
            if self._is_finished:
                break
            self._news.clear()
            await self._news.wait()
        if self._error is not None:
            raise self._error


def _always(function: Callable[[Pcm], None]) -> Callable[[Pcm], bool]:
    def sink(chunk: Pcm) -> bool:
        function(chunk)
        return True

    return sink


_DEFAULT_FLITE = "rms"
_DEFAULT_ESPEAK = "en-us"
_ENGINES: tuple[tuple[str, str, Callable[[str], Engine]], ...] = (
    ("libflite", _DEFAULT_FLITE, FliteEngine),
    ("flite", _DEFAULT_FLITE, lambda voice: CommandEngine("flite", voice)),
    ("espeak-ng", _DEFAULT_ESPEAK, lambda voice: CommandEngine("espeak-ng", voice)),
    ("espeakng-loader", _DEFAULT_ESPEAK, EspeakEngine),
)


def open_voice(name: str | None = None) -> Voice:
    """Open an offline voice; takes about 0.1 s, blocking.

    Args:
        name: None for the first engine that works, at its best voice; a voice (`rms`, `slt`,
            `awb`, `kal16`, `en-gb`, ...) for the first engine that has it; or `engine/voice`
            (`libflite`, `flite`, `espeak-ng`, `espeakng-loader`) for exactly that.

    Raises:
        VoiceUnavailable: no engine, or no such voice; says what was tried and what to install.
    """
    wanted_engine, _, wanted_voice = (name or "").rpartition("/")
    tried = []
    for engine, default, build in _ENGINES:
        if wanted_engine not in ("", engine):
            continue
        try:
            return Voice(build(wanted_voice or default))
        except (OSError, SpeechError) as exc:
            tried.append((engine, str(exc)))
    if not tried:
        tried.append((wanted_engine, "no such engine"))
    raise VoiceUnavailable(name, tuple(tried))
