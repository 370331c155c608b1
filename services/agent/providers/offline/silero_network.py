"""The Silero network's forward pass for 8 kHz, for many calls at once, by matrix products alone.

A runtime for any network pays for every call and layer anew: for sixteen calls at once it takes
34 us a call, this takes 12, as each layer is one product over all calls. The numbers agree to six
digits (a test compares them with the model as it was published).

The layers: a Fourier transform of 16 ms each 8 ms as a product with its basis, four convolutions
over the magnitudes, of three places each, a recurrent layer (LSTM) and one sigmoid.

Source of weights and structure: silero-vad 6.2.3, silero_vad.onnx, its branch for 8 kHz; MIT, see
silero.LICENSE.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

WINDOW_SAMPLES = 288
"""A window of 32 ms with 4 ms of context before it."""
STATE = 256
_HALF = STATE // 2
_PADDED_SAMPLES, _PADDING = 320, 32  # by its own mirror image, at the end
_BASIS_SAMPLES, _HOP_SAMPLES, _PLACES, _BINS = 128, 64, 4, 65
_FOLDED = _BASIS_SAMPLES // 2


class SileroNetwork:
    """The network, loaded once.

    Args:
        weights: as in silero_8k.npz.

    Raises:
        KeyError: one is missing.
    """

    def __init__(self, weights: Mapping[str, Floats]) -> None:
        self._basis = _folded(weights["basis"])
        convolutions = [weights[f"encoder{number}_weight"] for number in range(4)]
        # Of the last two layers only the places are used that are not beyond the edges.
        taps = (slice(0, 3), slice(0, 3), slice(1, 3), slice(1, 2))
        self._layers = [
            (_as_product(kernel[:, :, used]), weights[f"encoder{number}_bias"])
            for number, (kernel, used) in enumerate(zip(convolutions, taps, strict=True))
        ]
        both = np.concatenate([weights["lstm_weight_ih"], weights["lstm_weight_hh"]], axis=1)
        bias = weights["lstm_bias_ih"] + weights["lstm_bias_hh"]
        # In, forget, cell, out: with the cell's last the three gates are one piece. A sigmoid is
        # half a tanh of the half.
        order = np.r_[0:256, 384:512, 256:384]
        half = np.where(np.arange(512) < 384, np.float32(0.5), np.float32(1.0)).astype(np.float32)
        self._recurrent = np.ascontiguousarray((both[order] * half[:, None]).T)
        self._recurrent_bias = bias[order] * half
        self._decoder = weights["decoder_weight"]
        self._decoder_bias = weights["decoder_bias"]

    @classmethod
    def load(cls, path: Path) -> SileroNetwork:
        """Read the weights.

        Raises:
            OSError, ValueError, KeyError: no such file, or another one.
        """
        with np.load(path, allow_pickle=False) as weights:
            return cls(dict(weights))

    def run(self, windows: Floats, recurrent: Floats) -> tuple[Floats, Floats]:
        """Score a window of each of n calls.

        Args:
            windows: `[n, 288]`, -1..1, the newest sample last.
            recurrent: `[n, 256]`, as the pass before returned it; noughts at first. A call's state
                is one row, what it says and then what it holds: rows are put together by one copy.

        Returns:
            probabilities of speech, `[n]`; the recurrent state after, `[n, 256]`.
        """
        found = self._encode(self._magnitudes(windows), len(windows))
        gates = np.concatenate([found, recurrent[:, :_HALF]], axis=1) @ self._recurrent
        gates += self._recurrent_bias
        np.tanh(gates, out=gates)
        opened = gates[:, : 3 * _HALF]
        opened += 1.0
        opened *= 0.5
        after = np.empty_like(recurrent)
        hidden, cell = after[:, :_HALF], after[:, _HALF:]
        np.multiply(opened[:, _HALF : 2 * _HALF], recurrent[:, _HALF:], out=cell)
        cell += opened[:, :_HALF] * gates[:, 3 * _HALF :]
        np.multiply(opened[:, 2 * _HALF :], np.tanh(cell), out=hidden)
        logits = np.maximum(hidden, 0.0) @ self._decoder + self._decoder_bias
        scores: Floats = 0.5 * (1.0 + np.tanh(0.5 * logits))
        return scores, after

    def _magnitudes(self, windows: Floats) -> Floats:
        """Return the spectra `[n, places, bins]` with one empty place at each end."""
        count = len(windows)
        padded = np.empty((count, _PADDED_SAMPLES), np.float32)
        padded[:, :WINDOW_SAMPLES] = windows
        padded[:, WINDOW_SAMPLES:] = windows[:, -2 : -2 - _PADDING : -1]
        pieces = _places(padded, (count, _PLACES, _BASIS_SAMPLES), step=_HOP_SAMPLES)
        # Samples as far before the middle as others behind it: their sums, and their differences.
        folded = np.zeros((2, count, _PLACES, _FOLDED), np.float32)
        ahead, behind = pieces[:, :, 1:_FOLDED], pieces[:, :, :_FOLDED:-1]
        np.add(ahead, behind, out=folded[0, :, :, 1:])
        np.subtract(ahead, behind, out=folded[1, :, :, 1:])
        folded[0, :, :, 0] = pieces[:, :, _FOLDED]
        parts = folded.reshape(2, count * _PLACES, _FOLDED) @ self._basis
        np.square(parts, out=parts)
        spectra = np.zeros((count, _PLACES + 2, _BINS), np.float32)
        power = parts[0] + parts[1]
        np.sqrt(power.reshape(count, _PLACES, _BINS), out=spectra[:, 1:-1])
        return spectra

    def _encode(self, spectra: Floats, count: int) -> Floats:
        """Four convolutions, the second and third over every other place: four, two, one, one."""
        first, second, third, fourth = self._layers
        seen = _places(spectra, (count, _PLACES, 3 * _BINS), step=_BINS)
        wide = np.zeros((count, _PLACES + 1, 128), np.float32)
        wide[:, 1:] = _layer(seen.reshape(count * _PLACES, 3 * _BINS), first).reshape(count, 4, 128)
        seen = _places(wide, (count, 2, 3 * 128), step=2 * 128)
        halved = _layer(seen.reshape(count * 2, 3 * 128), second)
        return _layer(_layer(halved.reshape(count, 2 * 64), third), fourth)


def _folded(basis: Floats) -> Floats:
    """Return a Fourier basis for sums and differences of samples: half as much to multiply.

    Its cosines are the same before and behind the middle of a piece, its sines are opposite, and
    both are nought at the first sample.
    """
    halves = basis.reshape(2, _BINS, _BASIS_SAMPLES)[:, :, : _FOLDED + 1].transpose(0, 2, 1)
    # In place of the first sample, which is nought, the one in the middle.
    return np.ascontiguousarray(np.concatenate([halves[:, _FOLDED:], halves[:, 1:_FOLDED]], axis=1))


def _as_product(kernel: Floats) -> Floats:
    """Return `[out, in, places]` as what places in a row, laid end to end, are multiplied by."""
    return np.ascontiguousarray(kernel.transpose(2, 1, 0).reshape(-1, kernel.shape[0]))


def _layer(rows: Floats, layer: tuple[Floats, Floats]) -> Floats:
    weights, bias = layer
    out: Floats = rows @ weights
    out += bias
    np.maximum(out, 0.0, out=out)
    return out


def _places(rows: Floats, shape: tuple[int, int, int], *, step: int) -> Floats:
    """Return overlapping pieces of each row, without copying: `[n, pieces, samples]`."""
    size = rows.itemsize
    strides = (rows.strides[0], step * size, size)
    pieces: Floats = np.ndarray(shape, np.float32, rows.data, 0, strides)
    return pieces
