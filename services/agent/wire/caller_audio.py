"""The caller's audio on its way in: decoding, framing, voice activity, jitter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from services.agent.providers.base import FRAME_SAMPLES, PHONE_RATE_HZ, Pcm, VoiceActivity
from shared.audio.g711 import decode_ulaw
from shared.audio.jitter import InterarrivalJitter
from shared.audio.level import level_dbfs
from shared.audio.resample import Resampler
from shared.metrics.catalogue import AgentMetrics
from shared.protocol.telephony import L16, Media, MediaFormat

_FRAME_MS = 20
_GAP_MS = 2 * _FRAME_MS


@dataclass(frozen=True, slots=True)
class CallerFrame:
    """20 ms of the caller at 8 kHz, scored."""

    pcm: Pcm
    probability: float
    level_dbfs: float


class CallerAudio:
    """One call's way in.

    Args:
        activity: the worker's voice activity model.
        metrics: where frames, jitter and gaps are counted.
    """

    def __init__(self, activity: VoiceActivity, metrics: AgentMetrics) -> None:
        self._activity = activity
        self._metrics = metrics
        self._vad_state = activity.open()
        self._format = MediaFormat()
        self._resampler: Resampler | None = None
        self._rest: Pcm = np.empty(0, dtype=np.int16)
        self._jitter = InterarrivalJitter()
        self._last_timestamp_ms: int | None = None

    def begin(self, media_format: MediaFormat | None) -> None:
        """A stream begins; what was left of an older one does not count.

        Args:
            media_format: as its `start` says; None: the one we asked for.
        """
        media_format = media_format or MediaFormat()
        self._format = media_format
        self._rest = np.empty(0, dtype=np.int16)
        self._jitter = InterarrivalJitter()
        self._last_timestamp_ms = None
        is_wide = media_format.content_type == L16 and media_format.sample_rate_hz != PHONE_RATE_HZ
        self._resampler = (
            Resampler(media_format.sample_rate_hz, PHONE_RATE_HZ, "live") if is_wide else None
        )

    def frames(self, media: Media, now_s: float) -> Iterator[CallerFrame]:
        """Yield the whole frames that a message completes; a remainder waits for the next."""
        self._observe(media, now_s)
        pcm = self._decode(media.payload)
        if len(self._rest):
            pcm = np.concatenate([self._rest, pcm])
        whole = len(pcm) - len(pcm) % FRAME_SAMPLES
        self._rest = pcm[whole:]
        for start in range(0, whole, FRAME_SAMPLES):
            frame = pcm[start : start + FRAME_SAMPLES]
            score = self._activity.score([self._vad_state], frame[np.newaxis, :])
            yield CallerFrame(frame, float(score[0]), level_dbfs(frame))

    def _decode(self, payload: bytes) -> Pcm:
        if self._format.content_type != L16:
            return decode_ulaw(payload)
        # Little-endian, as a captured call shows; the documents disagree (fact sheet, 6).
        pcm = np.frombuffer(payload[: len(payload) // 2 * 2], dtype="<i2").astype(np.int16)
        return self._resampler.push(pcm) if self._resampler is not None else pcm

    def _observe(self, media: Media, now_s: float) -> None:
        self._metrics.frames.labels("in").inc()
        if media.timestamp_ms is None:
            return
        last_ms, self._last_timestamp_ms = self._last_timestamp_ms, media.timestamp_ms
        if last_ms is not None:
            if media.timestamp_ms - last_ms > _GAP_MS:
                self._metrics.frame_gaps.inc()
            self._metrics.frame_jitter.observe(
                self._jitter.update(now_s, media.timestamp_ms / 1000)
            )
