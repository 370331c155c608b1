"""PURE. The caller's audio as the media messages of one stream carry it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.simulator.calls.verbs import StreamPlan
from services.simulator.line.handset import SILENT_FRAME
from services.simulator.line.line import LineStep
from shared.audio.g711 import decode_ulaw
from shared.audio.resample import Resampler
from shared.protocol.telephony import MULAW

_NONE: NDArray[np.int16] = np.zeros(0, np.int16)


class MediaEncoder:
    """Encodes each step for every track of a stream, resampling where the plan asks for it."""

    def __init__(self, plan: StreamPlan, *, is_big_endian: bool = False) -> None:
        self._plan = plan
        self._dtype = ">i2" if is_big_endian else "<i2"
        self._frame_samples = plan.sample_rate_hz // 50
        self._resamplers = {
            track: Resampler(8000, plan.sample_rate_hz)
            for track in plan.tracks
            if plan.sample_rate_hz != 8000
        }
        self._held: dict[str, NDArray[np.int16]] = dict.fromkeys(plan.tracks, _NONE)

    def encode(self, step: LineStep) -> list[tuple[str, bytes]]:
        """Return track and payload of each media message of this step, 20 ms each."""
        sides = {"inbound": step.said or SILENT_FRAME, "outbound": step.heard}
        return [(track, self._payload(track, sides[track])) for track in self._plan.tracks]

    def _payload(self, track: str, mulaw: bytes) -> bytes:
        if self._plan.content_type == MULAW:
            return mulaw
        pcm = decode_ulaw(mulaw)
        if track in self._resamplers:
            pcm = self._frame(track, self._resamplers[track].push(pcm))
        return pcm.astype(self._dtype).tobytes()

    def _frame(self, track: str, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        """Return one frame; while the resampler's filter fills, silence comes first."""
        held = np.concatenate([self._held[track], pcm])
        missing = max(0, self._frame_samples - len(held))
        held = np.pad(held, (missing, 0))
        self._held[track] = held[self._frame_samples :]
        return held[: self._frame_samples]
