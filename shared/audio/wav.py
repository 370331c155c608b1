"""WAV files: read tolerantly, written as 16-bit PCM. The one place here that opens files."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.audio.errors import UnusableWav, WrongSamples
from shared.audio.g711 import decode_ulaw, require_mono_int16

_PCM, _FLOAT, _MULAW, _EXTENSIBLE = 1, 3, 7, 0xFFFE


def read_wav(path: str | Path) -> tuple[NDArray[np.int16], int]:
    """Read a file: samples as `parse_wav` gives them, and the rate in Hz.

    Raises:
        UnusableWav: see `parse_wav`.
        OSError: the file can't be read.
    """
    return parse_wav(Path(path).read_bytes())


def parse_wav(data: bytes) -> tuple[NDArray[np.int16], int]:
    """Read a WAV file's content.

    PCM of 8, 16, 24 or 32 bits, floats of 32 or 64, or mu-law; any rate from 1 to 384 kHz and up
    to 16 channels, which are averaged. A data chunk cut short, or of unknown length as streaming
    writers leave it, is read as far as it goes.

    Returns:
        int16 mono, and the rate in Hz.

    Raises:
        UnusableWav: not RIFF/WAVE, no fmt or data chunk, or a kind not listed above.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise UnusableWav("not a WAV file")
    form, body = _chunks(data)
    kind, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if kind == _EXTENSIBLE and len(form) >= 26:
        (kind,) = struct.unpack_from("<H", form, 24)
    if not 1 <= channels <= 16 or not 1000 <= rate_hz <= 384_000:
        raise UnusableWav(f"{channels} channels at {rate_hz} Hz")
    samples = _samples(kind, bits, body)
    samples = samples[: len(samples) - len(samples) % channels]
    if channels > 1:
        mixed = samples.reshape(-1, channels).mean(axis=1, dtype=np.float64)
        samples = np.rint(mixed).astype(np.int16)
    return samples, rate_hz


def _chunks(data: bytes) -> tuple[bytes, bytes]:
    form: bytes | None = None
    at = 12
    while at + 8 <= len(data):
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + length]
        if name == b"fmt " and len(body) >= 16:
            form = body
        elif name == b"data":
            if form is None:
                raise UnusableWav("samples before their format")
            return form, body
        at += 8 + length + length % 2
    raise UnusableWav("no samples" if form is not None else "no format")


def _samples(kind: int, bits: int, body: bytes) -> NDArray[np.int16]:
    width = bits // 8
    if width:
        body = body[: len(body) - len(body) % width]
    if kind == _MULAW and bits == 8:
        return decode_ulaw(body)
    if kind == _FLOAT and bits in (32, 64):
        floats = np.frombuffer(body, f"<f{width}").astype(np.float64)
        scaled = np.nan_to_num(floats, nan=0.0, posinf=1.0, neginf=-1.0) * 32_768
        return np.clip(np.rint(scaled), -32_768, 32_767).astype(np.int16)
    if kind == _PCM and bits == 8:
        return (np.frombuffer(body, np.uint8).astype(np.int16) - 128) * np.int16(256)
    if kind == _PCM and bits in (16, 24, 32):
        # The two upper bytes of each little-endian sample are the sample in 16 bits.
        upper = np.frombuffer(body, np.uint8).reshape(-1, width)[:, -2:]
        return np.ascontiguousarray(upper).view("<i2").reshape(-1).astype(np.int16)
    raise UnusableWav(f"WAV kind {kind} of {bits} bits is not read here")


def write_wav(path: str | Path, pcm: NDArray[np.int16], sample_rate_hz: int) -> None:
    """Write 16-bit PCM.

    Args:
        path: overwritten if it exists.
        pcm: int16, (n,) for mono or (n, channels).
        sample_rate_hz: its rate.

    Raises:
        WrongSamples: another dtype or shape.
    """
    if pcm.dtype != np.int16 or pcm.ndim not in (1, 2):
        raise WrongSamples(f"{pcm.dtype} of {pcm.ndim} dimensions, int16 of one or two wanted")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if pcm.ndim == 1 else pcm.shape[1])
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(pcm.astype("<i2").tobytes())


def wav_bytes(pcm: NDArray[np.int16], sample_rate_hz: int) -> bytes:
    """Return a WAV file's content: 16-bit PCM, mono.

    Raises:
        WrongSamples: other than int16 mono.
    """
    require_mono_int16(pcm)
    data = pcm.astype("<i2").tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, _PCM, 1),
        *(sample_rate_hz, 2 * sample_rate_hz, 2, 16, b"data", len(data)),
    )
    return head + data
