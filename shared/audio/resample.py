"""PURE. Streaming sample rate conversion of int16 mono.

Three ways, chosen by `quality`. The look-ahead is what has to be pushed before the first sample
comes out; all figures are measured, the times for 20 ms of speech.

    MQ      soxr at a fixed ratio. 3.4 kHz passes at 0.0 dB, a 5 kHz tone at 24 kHz leaves nothing
            at 8 kHz. Look-ahead 76 ms at 24k->8k, 119 ms at 16k->8k and 8k->16k; the result comes
            in blocks of about as much. 13 us.
    live    soxr's variable-ratio filter, held at one ratio. Aliases below -85 dB, look-ahead 26 ms
            at 24k->8k, 31 ms at 8k->16k, 16 ms at 16k->8k, then steady. 17-40 us.
    linear  interpolation between neighbours. No filter: what is above half the new rate folds
            down at full level. Look-ahead one sample. 18 us.

MQ is for speech that comes faster than it is played (synthesis), live for speech that comes as it
is spoken (a caller), linear for tests of what the others save us from and for machines without
soxr.

In none of them is the look-ahead a shift of the sound: what comes out first is what went in first,
nothing is put before it and nothing of it is lost. (Live downwards is 0.2 ms late, which is less
than two samples.) What is still inside comes out with `last`.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.audio.errors import AudioError
from shared.audio.g711 import require_mono_int16

Quality = Literal["MQ", "live", "linear"]


class _Engine(Protocol):
    def convert(self, pcm: NDArray[np.int16], last: bool) -> NDArray[np.int16]: ...


class Resampler:
    """Converts one signal after the other.

    The result does not depend on how the input is cut into pushes: joined, it is the same to
    the last bit.

    Args:
        source_hz: rate of what is pushed.
        target_hz: rate of what comes out; equal rates pass through.
        quality: see the module.

    Raises:
        AudioError: a rate out of 4-192 kHz.
    """

    def __init__(self, source_hz: int, target_hz: int, quality: Quality = "MQ") -> None:
        for rate_hz in (source_hz, target_hz):
            if not 4000 <= rate_hz <= 192_000:
                raise AudioError(f"{rate_hz} Hz is out of 4-192 kHz")
        self.source_hz = source_hz
        self.target_hz = target_hz
        self.quality = quality
        self._engine: _Engine | None = None
        self._pushed_samples = 0
        self._given_samples = 0

    def push(self, pcm: NDArray[np.int16], last: bool = False) -> NDArray[np.int16]:
        """Take some of the signal and return what is ready of the result, perhaps nothing.

        Args:
            pcm: int16 mono, any length, empty too. It is not kept.
            last: the signal ends here. Everything comes out, the total is exactly the duration's
                samples (a part of one counts whole), and the next push begins another signal.

        Raises:
            WrongSamples: other than int16 mono.
        """
        require_mono_int16(pcm)
        if self.source_hz == self.target_hz:
            return pcm.copy()
        if self._engine is None:
            self._engine = _open_engine(self.source_hz, self.target_hz, self.quality)
        self._pushed_samples += len(pcm)
        out = self._engine.convert(pcm, last)
        self._given_samples += len(out)
        if not last:
            return out
        # soxr rounds the length, or cuts it: at most one sample is missing.
        due = -(-self._pushed_samples * self.target_hz // self.source_hz)
        missing = due - self._given_samples
        self.reset()
        return np.pad(out, (0, missing)) if missing else out

    def reset(self) -> None:
        """Forget what is inside, as when speech is cut off; the next push begins a signal."""
        self._engine = None
        self._pushed_samples = self._given_samples = 0


def resample(pcm: NDArray[np.int16], source_hz: int, target_hz: int) -> NDArray[np.int16]:
    """Convert a whole signal at once, in the MQ way."""
    return Resampler(source_hz, target_hz).push(pcm, last=True)


def _open_engine(source_hz: int, target_hz: int, quality: Quality) -> _Engine:
    if quality == "linear":
        return _Linear(source_hz, target_hz)
    return _Soxr(source_hz, target_hz, is_live=quality == "live")


class _Soxr:
    """soxr on floats: its int16 path adds dither, which would make noise of silence."""

    def __init__(self, source_hz: int, target_hz: int, *, is_live: bool) -> None:
        import soxr  # not every service that frames audio also converts it

        self._stream = soxr.ResampleStream(
            source_hz, target_hz, 1, dtype="float32", quality="MQ", vr=is_live
        )

    def convert(self, pcm: NDArray[np.int16], last: bool) -> NDArray[np.int16]:
        out: NDArray[np.float32] = self._stream.resample_chunk(pcm.astype(np.float32), last=last)
        return np.clip(np.rint(out), -32_768, 32_767).astype(np.int16)


class _Linear:
    """Interpolation between neighbours; no filter, so what is above the new rate's half folds."""

    def __init__(self, source_hz: int, target_hz: int) -> None:
        self._source_hz = source_hz
        self._target_hz = target_hz
        self._held = np.zeros(0, np.int16)
        self._held_from = 0  # index in the signal of the first held sample
        self._next = 0  # index of the next sample of the result

    def convert(self, pcm: NDArray[np.int16], last: bool) -> NDArray[np.int16]:
        held = np.concatenate((self._held, pcm))
        if last and len(held):
            held = np.append(held, held[-1])  # the last sample holds until the end
        end = self._held_from + len(held) - 1  # the last sample has no right neighbour yet
        count = max(0, -(-end * self._target_hz // self._source_hz) - self._next)
        place = (self._next + np.arange(count, dtype=np.int64)) * self._source_hz
        left = place // self._target_hz - self._held_from
        share = place % self._target_hz / self._target_hz
        before, after = held[left].astype(np.float64), held[left + 1].astype(np.float64)
        self._next += count
        keep = min(len(held), self._next * self._source_hz // self._target_hz - self._held_from)
        self._held, self._held_from = held[keep:].copy(), self._held_from + keep
        return np.rint(before + (after - before) * share).astype(np.int16)
