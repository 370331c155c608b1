"""The caller's audio on its way in: decoding, framing, jitter. Scoring: scorer.py."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import msgspec
import numpy as np

from services.agent.providers.base import FRAME_SAMPLES, PHONE_RATE_HZ, Pcm, VadState
from shared.audio.g711 import decode_ulaw
from shared.audio.jitter import InterarrivalJitter
from shared.audio.resample import Resampler
from shared.metrics.catalogue import AgentMetrics
from shared.protocol.telephony import L16, Media, MediaFormat

_FRAME_MS = 20
_GAP_MS = 2 * _FRAME_MS

RawFrame: TypeAlias = bytes | Pcm
"""20 ms of the caller at 8 kHz: mu-law as it came, or samples."""


class CallerFrame(msgspec.Struct, frozen=True, gc=False):
    """20 ms of the caller at 8 kHz, scored; `at_s` is when it came. The samples are its own."""

    pcm: Pcm
    probability: float
    level_dbfs: float
    at_s: float


class CallerAudio:
    """One call's way in.

    Args:
        vad_state: of the worker's voice activity model.
        metrics: where frames, jitter and gaps are counted.
        on_frame: takes each frame once it is scored; never raises.
        on_broken: told when a frame can't be scored; never raises.

    Attributes:
        waiting: whole frames that are not scored yet, and when they came.
        is_asked: the scorer knows that some wait.
    """

    def __init__(
        self,
        vad_state: VadState,
        metrics: AgentMetrics,
        on_frame: Callable[[CallerFrame], None],
        on_broken: Callable[[], None],
    ) -> None:
        self.vad_state = vad_state
        self.on_frame = on_frame
        self.on_broken = on_broken
        self.is_asked = False
        self.waiting: deque[tuple[RawFrame, float]] = deque()
        self._count_frame = metrics.frames.labels("in").inc
        self._observe_jitter = metrics.frame_jitter.observe
        self._count_gap = metrics.frame_gaps.inc
        self._format = MediaFormat()
        self._resampler: Resampler | None = None
        self._rest: Pcm = np.empty(0, dtype=np.int16)
        self._jitter = InterarrivalJitter()
        self._last_timestamp_ms: int | None = None

    @property
    def jitter_s(self) -> float:
        """How unevenly the caller's frames arrive, see InterarrivalJitter."""
        return self._jitter.jitter_s

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

    def take(self, media: Media, now_s: float) -> None:
        """Have the whole frames that a message completes wait; a remainder waits for the next."""
        self._observe(media, now_s)
        payload = media.payload
        if (
            len(payload) == FRAME_SAMPLES
            and not len(self._rest)
            and self._format.content_type != L16
        ):
            self.waiting.append((payload, now_s))
            return
        pcm = self._decode(payload)
        if len(self._rest):
            pcm = np.concatenate([self._rest, pcm])
        whole = len(pcm) - len(pcm) % FRAME_SAMPLES
        self._rest = pcm[whole:]
        for start in range(0, whole, FRAME_SAMPLES):
            self.waiting.append((pcm[start : start + FRAME_SAMPLES], now_s))

    def _decode(self, payload: bytes) -> Pcm:
        if self._format.content_type != L16:
            return decode_ulaw(payload)
        # Little-endian, as a captured call shows; the documents disagree (fact sheet, 6).
        pcm = np.frombuffer(payload[: len(payload) // 2 * 2], dtype="<i2").astype(np.int16)
        return self._resampler.push(pcm) if self._resampler is not None else pcm

    def _observe(self, media: Media, now_s: float) -> None:
        self._count_frame()
        if media.timestamp_ms is None:
            return
        last_ms, self._last_timestamp_ms = self._last_timestamp_ms, media.timestamp_ms
        if last_ms is not None:
            if media.timestamp_ms - last_ms > _GAP_MS:
                self._count_gap()
            self._observe_jitter(self._jitter.update(now_s, media.timestamp_ms / 1000))
