"""PURE. G.711 mu-law by look-up tables: 64 KiB to encode, 512 bytes to decode.

Exact for 16-bit samples: the standard's decision values (1, 3, 5 ... 31, 35 ... 8159 on its
14-bit scale) are compared with a sample's true value, a quarter of the 16-bit one, symmetrically
about nought; a value on a decision value goes to the larger magnitude; magnitudes from 8159 on
are clipped. That is bias 132 and clip 32635 on the 16-bit scale. The former `audioop` first
rounded samples down to 14 bits and therefore differs for 381 negative inputs, each next to a
decision value (-1 became code 0x7E, -8, where the standard says 0x7F, nought).

Source: ITU-T G.711 (11/88), clause 3 and tables 2a, 2b; all bits but the sign's are inverted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.audio.errors import WrongSamples

_BIAS = 132
_CLIP = 32635


def decode_ulaw(data: bytes | bytearray | memoryview) -> NDArray[np.int16]:
    """Return the samples of mu-law bytes: one each, -32124 to 32124, in a new array."""
    return _DECODED[np.frombuffer(data, np.uint8)]


def encode_ulaw(pcm: NDArray[np.int16]) -> bytes:
    """Return one mu-law byte a sample.

    Args:
        pcm: int16, one dimension, contiguous or not.

    Raises:
        WrongSamples: another dtype or more dimensions; nothing is converted silently.
    """
    require_mono_int16(pcm)
    return _ENCODED[pcm.view(np.uint16)].tobytes()


def require_mono_int16(pcm: NDArray[Any]) -> None:
    """Raise WrongSamples unless `pcm` is one channel of int16."""
    if pcm.dtype != np.int16 or pcm.ndim != 1:
        raise WrongSamples(f"{pcm.dtype} of {pcm.ndim} dimensions, int16 of one wanted")


def _decoding_table() -> NDArray[np.int16]:
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    magnitude = ((mantissa << 3) + _BIAS << exponent) - _BIAS
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _encoding_table() -> NDArray[np.uint8]:
    """Return the code of every sample, indexed by its 16 bits taken as unsigned."""
    pcm = np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)
    biased = np.minimum(np.abs(pcm), _CLIP) + _BIAS
    exponent = np.zeros_like(biased)
    for segment in range(1, 8):
        exponent[biased >= 1 << segment + 7] = segment
    mantissa = biased >> exponent + 3 & 15
    sign = np.where(pcm < 0, 0x80, 0)
    codes: NDArray[np.uint8] = (~(sign | exponent << 4 | mantissa) & 0xFF).astype(np.uint8)
    return codes


_DECODED = _decoding_table()
_ENCODED = _encoding_table()
_DECODED.flags.writeable = False
_ENCODED.flags.writeable = False
