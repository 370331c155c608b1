"""PURE. One telephone line in steps of 20 ms: the person, the cloud's playback, the recording.

Step n plays slot n of what the caller hears and finishes slot n-1 of what the caller says,
because a real telephone can send 20 ms of speech only once they are over. So a reaction measured
between the two sides of the recording holds everything a person on the line would notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from services.simulator.line.handset import FRAME_SAMPLES, SILENT_FRAME, Handset
from services.simulator.line.playback import Consumed, Dropped, PlaybackQueue
from services.simulator.person.caller import Caller, CallerStep, Utterance
from services.simulator.person.speech_span import find_speech
from shared.audio.g711 import decode_ulaw, encode_ulaw

AUDIBLE_DBFS = -50.0
_AUDIBLE_ENERGY = FRAME_SAMPLES * (32768.0 * 10 ** (AUDIBLE_DBFS / 20)) ** 2
_ENERGY = decode_ulaw(bytes(range(256))).astype(np.float64) ** 2
"""Of each mu-law code: looked up, because every call asks fifty times a second."""
_NOISE_SAMPLES = 8000 * 7


@dataclass(frozen=True, slots=True)
class LineQuality:
    """What the line adds to the caller's side.

    `noise_dbfs` is the RMS level of white noise; `echo_db` the level of the echo of what the
    caller hears, relative to it (-25 is 25 dB below), heard again after `echo_delay_s`. None
    means none.
    """

    noise_dbfs: float | None = None
    echo_db: float | None = None
    echo_delay_s: float = 0.12


class SpanEnd(StrEnum):
    """Why a stretch of agent audio ended."""

    OPEN = "open"  # still playing
    CHECKPOINT = "checkpoint"  # the queue ran empty where a checkpoint stood
    DRY = "dry"  # the queue ran empty elsewhere
    CLEAR = "clear"
    LOST = "lost"  # the socket went


@dataclass(slots=True)
class AgentSpan:
    """Heard samples start..end-1 that came out of the queue without a break."""

    start: int
    end: int
    ended_by: SpanEnd = SpanEnd.OPEN


@dataclass(slots=True)
class SaidSpan:
    """An utterance on the caller's side, in samples of the recording.

    `onset` and `speech_end` are those of the speech in it; `end` is None while it is being said.
    """

    label: str
    start: int
    onset: int
    speech_end: int
    level_dbfs: float
    is_over_agent: bool
    end: int | None = None


@dataclass(frozen=True, slots=True)
class LineStep:
    """What one step gave.

    `said` and `heard` are 20 ms of mu-law each, said None in the first step. `is_quiet` says that
    the person did not speak. `checkpoints` were reached; `began` and `ended` are utterances that
    do so in this step.
    """

    said: bytes | None
    heard: bytes
    is_quiet: bool
    digit: str
    hangs_up: bool
    checkpoints: tuple[str, ...]
    began: SaidSpan | None
    ended: SaidSpan | None


class Line:
    """The caller's end of a call, from the answer webhook to the end.

    Args:
        caller: the person.
        quality: what the line adds.
        rng: chance, for the noise.
    """

    def __init__(self, caller: Caller, quality: LineQuality, rng: Generator) -> None:
        self.handset = Handset()
        self.playback = PlaybackQueue()
        self.prompts = PlaybackQueue()
        self.agent_spans: list[AgentSpan] = []
        self.said_spans: list[SaidSpan] = []
        self.is_answered = False
        self.is_agent_away = False  # between two sockets: a person waits a little longer
        self._caller = caller
        self._quality = quality
        self._noise = _noise(quality.noise_dbfs, rng)
        self._noise_at = int(rng.integers(_NOISE_SAMPLES))
        self._echo_gain = 10 ** (quality.echo_db / 20) if quality.echo_db is not None else 0.0
        self._is_audible = False

    def step(self) -> LineStep:
        """Live through the next 20 ms."""
        said, caller, began = None, CallerStep(), None
        is_quiet = True
        if self.handset.heard_samples:
            if self.is_answered:
                caller = self._caller.step(
                    is_agent_audible=self._is_audible,
                    is_queue_empty=not (self.playback or self.prompts or self.is_agent_away),
                )
            began = self._note_speech(caller)
            said = self._mix(caller.pcm)
            is_quiet = caller.pcm is None
            self.handset.say(said)
        heard = self._play()
        return LineStep(
            said=said,
            heard=heard.frame,
            is_quiet=is_quiet,
            digit=caller.digit,
            hangs_up=caller.hangs_up,
            checkpoints=heard.checkpoints,
            began=began,
            ended=self.said_spans[-1] if caller.ended is not None else None,
        )

    def replace_playback(self, queue: PlaybackQueue) -> None:
        """Begin a new stream with an empty queue; what the old one held is never heard."""
        self._end_span(SpanEnd.LOST)
        self.playback = queue
        self._caller.listen_again()

    @property
    def is_agent_heard(self) -> bool:
        """Whether agent audio is sounding, if only the last of it."""
        return self._open_span() is not None

    def clear(self) -> Dropped:
        """Empty the stream's queue at once; the 20 ms that are sounding are heard to their end."""
        dropped = self.playback.clear()
        # A `stop` right after the last checkpoint finds nothing left to cut.
        self._end_span(SpanEnd.CLEAR if dropped.samples else SpanEnd.CHECKPOINT)
        return dropped

    def _play(self) -> Consumed:
        start = self.handset.heard_samples
        heard = self.playback.consume(FRAME_SAMPLES)
        if heard.samples:
            self._extend_span(start, heard)
        elif self._open_span() is not None:
            self._end_span(SpanEnd.CHECKPOINT if heard.is_at_checkpoint else SpanEnd.DRY)
        frame = heard.frame
        if self.prompts:
            prompt = self.prompts.consume(FRAME_SAMPLES).frame
            frame = _add(frame, prompt) if heard.samples else prompt
        self.handset.hear(frame)
        self._is_audible = is_audible(frame)
        return heard

    def _extend_span(self, start: int, heard: Consumed) -> None:
        span = self._open_span()
        if span is None:
            span = AgentSpan(start, start)
            self.agent_spans.append(span)
        span.end = start + heard.samples
        if heard.samples < FRAME_SAMPLES:
            self._end_span(SpanEnd.CHECKPOINT if heard.is_at_checkpoint else SpanEnd.DRY)

    def _open_span(self) -> AgentSpan | None:
        last = self.agent_spans[-1] if self.agent_spans else None
        return last if last is not None and last.ended_by is SpanEnd.OPEN else None

    def _end_span(self, ended_by: SpanEnd) -> None:
        span = self._open_span()
        if span is not None:
            span.ended_by = ended_by

    def _note_speech(self, step: CallerStep) -> SaidSpan | None:
        began = None
        if step.began is not None:
            began = self._said_span(step.began)
            self.said_spans.append(began)
        if step.ended is not None:
            self.said_spans[-1].end = self.handset.said_samples + FRAME_SAMPLES
        return began

    def _said_span(self, utterance: Utterance) -> SaidSpan:
        start = self.handset.said_samples
        speech = find_speech(utterance.pcm)
        return SaidSpan(
            label=utterance.label,
            start=start,
            onset=start + (speech.onset if speech else 0),
            speech_end=start + (speech.end if speech else len(utterance.pcm)),
            level_dbfs=speech.level_dbfs if speech else -100.0,
            is_over_agent=self.is_agent_heard or bool(self.prompts),
        )

    def _mix(self, pcm: NDArray[np.int16] | None) -> bytes:
        parts: list[NDArray[np.float64]] = []
        if self._noise is not None:
            parts.append(self._next_noise())
        if self._echo_gain:
            stop = self.handset.said_samples + FRAME_SAMPLES
            stop -= round(self._quality.echo_delay_s * 8000)
            echo = self.handset.heard_between(stop - FRAME_SAMPLES, stop)
            parts.append(echo.astype(np.float64) * self._echo_gain)
        if not parts:
            return SILENT_FRAME if pcm is None else encode_ulaw(pcm)
        if pcm is not None:
            parts.append(pcm.astype(np.float64))
        return encode_ulaw(_to_int16(np.sum(parts, axis=0)))

    def _next_noise(self) -> NDArray[np.float64]:
        assert self._noise is not None  # asked for only where there is some
        at = self._noise_at
        self._noise_at = (at + FRAME_SAMPLES) % _NOISE_SAMPLES
        return np.take(self._noise, range(at, at + FRAME_SAMPLES), mode="wrap")


def is_audible(mulaw: bytes) -> bool:
    """Return whether 20 ms of mu-law are louder than -50 dBFS."""
    if mulaw == SILENT_FRAME:
        return False
    return float(_ENERGY[np.frombuffer(mulaw, np.uint8)].sum()) > _AUDIBLE_ENERGY


def _add(first: bytes, second: bytes) -> bytes:
    total = decode_ulaw(first).astype(np.float64) + decode_ulaw(second)
    return encode_ulaw(_to_int16(total))


def _to_int16(samples: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def _noise(level_dbfs: float | None, rng: Generator) -> NDArray[np.float64] | None:
    if level_dbfs is None:
        return None
    return rng.standard_normal(_NOISE_SAMPLES) * 32768.0 * 10 ** (level_dbfs / 20)
