"""What one 20 ms frame costs, step by step, in CPU time of one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from services.agent.providers.base import VadState
from services.agent.providers.offline.silero import SileroVoiceActivity
from shared.audio.format import FRAME_BYTES
from shared.audio.g711 import decode_ulaw, encode_ulaw
from shared.audio.level import level_dbfs
from shared.audio.resample import Resampler
from shared.protocol.call import StreamId
from shared.protocol.telephony import (
    Media,
    PlayAudio,
    parse_command,
    parse_inbound,
    serialize_command,
    serialize_inbound,
)

_BATCHES = (1, 8, 32)
"""Calls whose frames are scored together."""
_ROUNDS = 9
_ROUND_S = 0.05
_STREAM = StreamId("c3f7e2aa-0000-4000-8000-6d2b9f0a7711")


@dataclass(frozen=True, slots=True)
class FrameCost:
    """One step: microseconds of CPU for each frame, median of several rounds."""

    step: str
    cpu_us: float


def measure_frames() -> Iterator[FrameCost]:
    """Measure every step a frame takes through the agent, one after another."""
    for step, work, frames in steps():
        yield FrameCost(step, round(_cost_us(work) / frames, 2))


def steps() -> Iterator[tuple[str, Callable[[], object], int]]:
    """Yield each step's name, what does it, and how many frames that does."""
    noise = np.random.default_rng(20)
    pcm = (noise.standard_normal(FRAME_BYTES) * 3000).astype(np.int16)
    wide = (noise.standard_normal(480) * 3000).astype(np.int16)
    payload = encode_ulaw(pcm)
    media = Media(payload, _STREAM, 1_790_921_506_412, 1, 1, "inbound")
    play = PlayAudio(payload, stream_id=_STREAM)
    media_text, play_text = serialize_inbound(media), serialize_command(play)
    downward, upward = Resampler(24_000, 8_000), Resampler(8_000, 16_000)
    activity = SileroVoiceActivity()

    yield "parse media", lambda: parse_inbound(media_text), 1
    yield "serialise playAudio", lambda: serialize_command(play), 1
    yield "parse playAudio (simulator)", lambda: parse_command(play_text), 1
    yield "serialise media (simulator)", lambda: serialize_inbound(media), 1
    yield "mu-law decode", lambda: decode_ulaw(payload), 1
    yield "mu-law encode", lambda: encode_ulaw(pcm), 1
    yield "level", lambda: level_dbfs(pcm), 1
    yield "resample 24k to 8k", lambda: downward.push(wide), 1
    yield "resample 8k to 16k", lambda: upward.push(pcm), 1
    for calls in _BATCHES:
        states: list[VadState] = [activity.open() for _ in range(calls)]
        score = partial(activity.score, states, np.repeat(pcm[None, :], calls, axis=0))
        yield f"voice activity, {calls} at once", score, calls


def _cost_us(work: Callable[[], object]) -> float:
    work()
    repeats = 1
    while _cpu_s(work, repeats) < _ROUND_S / 2:
        repeats *= 2
    return statistics.median(_cpu_s(work, repeats) / repeats for _ in range(_ROUNDS)) * 1e6


def _cpu_s(work: Callable[[], object], repeats: int) -> float:
    started_s = time.process_time()
    for _ in range(repeats):
        work()
    return time.process_time() - started_s
