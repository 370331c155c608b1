"""The end of a turn by smart-turn v3: a small model that listens to the last 8 s, 8.7 MB of ONNX.

The file is not ours to ship: an agent names where it lies (`smart-turn-v3.2-cpu.onnx`). Its input
is `[1, 80, 800]` log-mel features of 8 s at 16 kHz, shorter audio with silence before it, made
independent of loudness; its output is the probability that the speaker has finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.agent.providers.base import PHONE_RATE_HZ, Pcm
from services.agent.providers.errors import (
    FailureCause,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.agent.turn_models.log_mel import RATE_HZ, log_mel
from shared.audio.resample import resample

_NAME = "smart_turn"
_SAMPLES = 8 * RATE_HZ
_MOST_WAITING = 8

Model: TypeAlias = Callable[[NDArray[np.float32]], float]
"""`[1, 80, 800]` features in, probability out; runs in one thread at a time."""


def load_model(path: Path) -> Model:
    """Load the model's file.

    Raises:
        ProviderUnavailable: there is no such file, it is no such model, onnxruntime is missing.
    """
    if not path.is_file():
        raise ProviderUnavailable(_NAME, f"no model at {path}", FailureCause.MISSING)
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        session: Any = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        name = session.get_inputs()[0].name
    except Exception as exc:  # the runtime's errors have no common base
        raise ProviderUnavailable(_NAME, f"cannot load {path.name}: {exc}") from exc

    def run(features: NDArray[np.float32]) -> float:
        return float(np.ravel(session.run(None, {name: features})[0])[0])

    return run


def turn_features(pcm: Pcm) -> NDArray[np.float32]:
    """Return the model's input for a turn.

    Args:
        pcm: mono int16 8 kHz, any length; only read. The last 8 s count.

    Returns:
        `[1, 80, 800]`.
    """
    newest = pcm[-_SAMPLES * PHONE_RATE_HZ // RATE_HZ :]
    wide = resample(newest, PHONE_RATE_HZ, RATE_HZ)[-_SAMPLES:] if len(newest) else newest
    samples = np.zeros(_SAMPLES, np.float32)
    if len(wide):
        samples[-len(wide) :] = wide
    samples /= 32_768.0
    samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    return log_mel(samples)[np.newaxis]


class SmartTurn:
    """The model, for all calls of a worker, in a thread of its own.

    Args:
        model: from `load_model`.
        timeout_s: an answer that takes longer is of no use any more.
    """

    def __init__(self, model: Model, *, timeout_s: float = 0.5) -> None:
        self._model = model
        self._timeout_s = timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=_NAME)
        self._waiting = 0

    async def probability(self, pcm: Pcm) -> float:
        """See EndOfTurn. Refused while 8 turns wait to be judged."""
        if self._waiting >= _MOST_WAITING:
            raise ProviderFailed(_NAME, "too many turns to judge at once")
        loop = asyncio.get_running_loop()
        self._waiting += 1
        judgement = loop.run_in_executor(self._thread, self._judge, pcm.copy())
        judgement.add_done_callback(self._on_done)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await judgement
        except TimeoutError as exc:
            raise ProviderTimeout(_NAME, f"no answer within {self._timeout_s} s") from exc

    def _judge(self, pcm: Pcm) -> float:
        try:
            probability = self._model(turn_features(pcm))
        except Exception as exc:  # the runtime's errors have no common base
            raise ProviderFailed(_NAME, str(exc)) from exc
        if not 0.0 <= probability <= 1.0:
            raise ProviderFailed(_NAME, "not a probability", FailureCause.GARBAGE)
        return probability

    def _on_done(self, _: object) -> None:
        self._waiting -= 1

    async def aclose(self) -> None:
        """Let go of the thread; what it works on still is not waited for. May be called twice."""
        self._thread.shutdown(wait=False, cancel_futures=True)
