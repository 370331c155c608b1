"""The end-of-turn model behind its seam: what it is given, and what becomes of its troubles."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import SecretStr, ValidationError

from services.agent.providers.errors import (
    FailureCause,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.agent.turn_models.entries import END_OF_TURN, SmartTurnOptions
from services.agent.turn_models.smart_turn import Model, SmartTurn, load_model, turn_features

SECOND = 8000


class NoSecrets:
    def get(self, name: str) -> SecretStr | None:
        return None


def speech(seconds: float, level: float = 3000.0) -> NDArray[np.int16]:
    noise = np.random.default_rng(1).standard_normal(int(seconds * SECOND))
    return (noise * level).astype(np.int16)


def field(number: int, value: bytes | int) -> bytes:
    """One field of a protobuf message; lengths and numbers below 16384."""
    if isinstance(value, int):
        return bytes([number << 3]) + varint(value)
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128, value >> 7])


def tiny_model() -> bytes:
    """ONNX: the sigmoid of the mean of `features`."""

    def node(op: bytes, given: bytes, made: bytes) -> bytes:
        return field(1, field(1, given) + field(2, made) + field(4, op))

    def tensor(name: bytes, *shape: int) -> bytes:
        sizes = b"".join(field(1, field(1, size)) for size in shape)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, sizes)))

    graph = (
        node(b"ReduceMean", b"features", b"mean")
        + node(b"Sigmoid", b"mean", b"probability")
        + field(2, b"tiny")
        + field(11, tensor(b"features", 1, 80, 800))
        + field(12, tensor(b"probability", 1, 1, 1))
    )
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


def fixed(probability: float) -> Model:
    return lambda _: probability


@pytest.mark.parametrize("seconds", [0.0, 0.3, 3.0, 8.0, 20.0])
def test_a_turn_of_any_length_is_eight_seconds_of_features(seconds: float) -> None:
    features = turn_features(speech(seconds))
    assert features.shape == (1, 80, 800)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_a_short_turn_stands_at_the_end_after_silence() -> None:
    features = turn_features(speech(2.0))[0]
    assert features[:, 610:790].mean() > features[:, :590].mean() + 0.5


def test_only_the_last_eight_seconds_count() -> None:
    newest = speech(8.0)
    older = np.concatenate([np.full(SECOND, 8000, np.int16), newest])
    assert turn_features(older) == pytest.approx(turn_features(newest), abs=0.05)


def test_loudness_does_not_matter() -> None:
    quiet, loud = turn_features(speech(4.0, 300.0)), turn_features(speech(4.0, 6000.0))
    telephone_band = 55
    assert quiet[0, :telephone_band, 420:] == pytest.approx(
        loud[0, :telephone_band, 420:], abs=0.05
    )


async def test_the_models_word_is_passed_on_and_the_audio_left_alone() -> None:
    model = SmartTurn(fixed(0.7))
    pcm = speech(1.0)
    before = pcm.copy()
    assert await model.probability(pcm) == pytest.approx(0.7)
    assert (pcm == before).all()
    await model.aclose()
    await model.aclose()


@pytest.mark.parametrize("answer", [float("nan"), -0.1, 1.1])
async def test_what_is_no_probability_is_garbage(answer: float) -> None:
    model = SmartTurn(fixed(answer))
    with pytest.raises(ProviderFailed) as failure:
        await model.probability(speech(0.5))
    assert failure.value.cause is FailureCause.GARBAGE
    await model.aclose()


async def test_a_broken_model_is_a_provider_that_failed() -> None:
    def broken(_: NDArray[np.float32]) -> float:
        raise RuntimeError("no such node")

    model = SmartTurn(broken)
    with pytest.raises(ProviderFailed, match="no such node"):
        await model.probability(speech(0.5))
    await model.aclose()


async def test_a_slow_model_is_not_waited_for_and_a_full_one_not_asked() -> None:
    gate = threading.Event()

    def slow(_: NDArray[np.float32]) -> float:
        gate.wait(5.0)
        return 0.5

    model = SmartTurn(slow, timeout_s=0.05)
    asked = [asyncio.ensure_future(model.probability(speech(0.1))) for _ in range(9)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(result) for result in results].count(ProviderTimeout) == 8
    assert [type(result) for result in results].count(ProviderFailed) == 1
    gate.set()
    await model.aclose()


def test_a_missing_or_broken_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ProviderUnavailable) as missing:
        load_model(tmp_path / "none.onnx")
    assert missing.value.cause is FailureCause.MISSING
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a model")
    with pytest.raises(ProviderUnavailable, match=r"bad\.onnx"):
        load_model(bad)


async def test_a_file_is_run_as_it_says(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_model())
    pcm = speech(3.0)
    model = END_OF_TURN["smart_turn"].open(SmartTurnOptions(path=path), "en", NoSecrets())
    mean = float(turn_features(pcm).mean())
    assert await model.probability(pcm) == pytest.approx(1 / (1 + np.exp(-mean)), abs=1e-4)


def test_the_registry_has_it_by_name_and_checks_its_options(tmp_path: Path) -> None:
    entry = END_OF_TURN["smart_turn"]
    assert not entry.needs_key
    with pytest.raises(ValidationError):
        entry.options.model_validate({})
    options = SmartTurnOptions(path=tmp_path / "none.onnx")
    with pytest.raises(ProviderUnavailable):
        entry.open(options, "en", NoSecrets())
