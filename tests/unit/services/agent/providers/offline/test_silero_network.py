"""The network gives what the model gives as it was published, run by onnxruntime."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from services.agent.providers.offline import silero, silero_network
from services.agent.providers.offline.silero_network import STATE, WINDOW_SAMPLES, SileroNetwork

MODEL = Path(__file__).resolve().parents[5] / "support" / "models" / "silero_vad.onnx"
WEIGHTS = Path(silero.__file__).with_name("silero_8k.npz")


@lru_cache
def published() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])


@lru_cache
def network() -> SileroNetwork:
    return SileroNetwork.load(WEIGHTS)


@pytest.mark.parametrize("calls", [1, 2, 7, 32])
@pytest.mark.parametrize("level", [0.0, 0.001, 0.05, 1.0])
def test_scores_and_states_are_the_published_models(calls: int, level: float) -> None:
    rng = np.random.default_rng(calls)
    state = np.zeros((calls, STATE), np.float32)
    other_state = np.zeros((2, calls, STATE // 2), np.float32)
    for _ in range(60):
        windows = (rng.standard_normal((calls, WINDOW_SAMPLES)) * level).astype(np.float32)
        windows = np.clip(windows, -1, 1)
        scores, state = network().run(windows, state)
        wanted, other_state = published().run(
            None, {"input": windows, "state": other_state, "sr": np.array(8000, np.int64)}
        )
        assert {scores.dtype, state.dtype} == {np.dtype(np.float32)}
        np.testing.assert_allclose(scores, wanted[:, 0], atol=1e-5)
        np.testing.assert_allclose(state, np.concatenate(other_state, axis=1), atol=1e-4)


def test_windows_and_states_that_are_given_are_only_read() -> None:
    windows = np.ones((3, WINDOW_SAMPLES), np.float32)
    state = np.ones((3, STATE), np.float32)
    for given in (windows, state):
        given.flags.writeable = False
    network().run(windows, state)


def test_a_weight_that_is_missing_is_said() -> None:
    with pytest.raises(KeyError, match="lstm_weight_ih"), np.load(WEIGHTS) as weights:
        SileroNetwork({k: v for k, v in weights.items() if k != "lstm_weight_ih"})


def test_the_window_is_what_the_model_was_made_for() -> None:
    assert silero_network.WINDOW_SAMPLES == 256 + 32
