"""The way in: framing of whatever sizes come, formats, jitter and gaps."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from services.agent.providers.base import Pcm
from services.agent.wire.caller_audio import CallerAudio
from shared.audio.g711 import decode_ulaw, encode_ulaw
from shared.audio.level import level_dbfs
from shared.metrics.catalogue import AgentMetrics
from shared.protocol.telephony import Media, MediaFormat
from tests.support.providers import FakeVadState


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def audio(registry: CollectorRegistry) -> CallerAudio:
    return CallerAudio(
        FakeVadState(),
        AgentMetrics(registry),
        on_frame=lambda _: None,
        on_broken=lambda: None,
    )


def take(audio: CallerAudio, payload: bytes) -> list[Pcm]:
    audio.take(Media(payload), 1.0)
    frames = [decode_ulaw(f) if isinstance(f, bytes) else f for f, _ in audio.waiting]
    audio.waiting.clear()
    return frames


@pytest.mark.parametrize("size", [160, 1, 80, 159, 161, 480, 1000])
def test_no_sample_is_lost_however_the_pieces_come(audio: CallerAudio, size: int) -> None:
    pcm = (np.arange(3200) * 7 % 20000 - 10000).astype(np.int16)
    data = encode_ulaw(pcm)
    frames = [
        frame
        for start in range(0, len(data), size)
        for frame in take(audio, data[start : start + size])
    ]
    heard = encode_ulaw(np.concatenate(frames))
    assert heard == data
    assert len(frames) == 20


def test_empty_payload_is_no_frame(audio: CallerAudio) -> None:
    assert take(audio, b"") == []


def test_linear_audio_at_16_khz_is_brought_to_the_phones_rate(audio: CallerAudio) -> None:
    audio.begin(MediaFormat("audio/x-l16", 16000))
    tone = (np.sin(np.arange(16000) * 2 * np.pi * 440 / 16000) * 8000).astype("<i2")
    frames = take(audio, tone.tobytes())
    assert 45 <= len(frames) <= 50
    assert level_dbfs(frames[20]) == pytest.approx(-15.3, abs=0.5)


def test_jitter_and_gaps_are_measured_on_the_senders_clock(
    audio: CallerAudio, registry: CollectorRegistry
) -> None:
    for n, timestamp_ms in enumerate([0, 20, 40, 120, 140]):
        audio.take(Media(b"", timestamp_ms=timestamp_ms), 5.0 + n * 0.02)
    assert registry.get_sample_value("voice_agent_frame_gaps_total") == 1
    assert registry.get_sample_value("voice_agent_frame_jitter_seconds_count") == 4
    jitter_s = registry.get_sample_value("voice_agent_frame_jitter_seconds_sum")
    assert jitter_s == pytest.approx(0.06 / 16 + 0.06 / 16 * 15 / 16, rel=0.01)
