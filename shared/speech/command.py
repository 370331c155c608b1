"""Speech from an installed program, `flite` or `espeak-ng`, read from its standard output.

Both write a WAV whose header is made before the length is known, so the header's sizes are not
read; its rate is.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import threading
from typing import IO

import numpy as np

from shared.speech.engine import Sink
from shared.speech.errors import SynthesisFailed

_CHUNK_BYTES = 1600
_RENDER_TIMEOUT_S = 10.0
_FLITE_VOICES = {"rms": 16000, "slt": 16000, "awb": 16000, "kal16": 16000, "kal": 8000}
_ESPEAK_RATE_HZ = 22050


class CommandEngine:
    """One voice of an installed program; each piece of text is one run of it.

    Args:
        program: `flite` or `espeak-ng`.
        voice: one of the program's own names.

    Raises:
        OSError: the program is not on the PATH, or has no such voice.
    """

    def __init__(self, program: str, voice: str) -> None:
        path = shutil.which(program)
        if path is None:
            raise OSError(f"no program {program!r} on the PATH")
        if program == "flite":
            if voice not in _FLITE_VOICES:
                raise OSError(f"flite has no voice {voice!r}, only {', '.join(_FLITE_VOICES)}")
            self.sample_rate_hz = _FLITE_VOICES[voice]
            self._command = [path, "-voice", voice, "-o", "/dev/stdout", "-t"]
        else:
            self.sample_rate_hz = _ESPEAK_RATE_HZ
            self._command = [path, "-v", voice, "-s", "160", "--stdout", "--"]
        self.name = f"{program} command/{voice}"
        self.is_ascii_only = program == "flite"

    def render(self, text: str, sink: Sink) -> None:
        """See Engine."""
        with subprocess.Popen(  # noqa: S603 # our own fixed arguments; the text is never a shell's
            [*self._command, text],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            guard = threading.Timer(_RENDER_TIMEOUT_S, process.kill)
            guard.start()
            is_whole = False
            try:
                is_whole = self._read(process.stdout, sink)
            finally:
                if not is_whole:
                    process.kill()
                guard.cancel()
            if is_whole and process.wait(_RENDER_TIMEOUT_S) != 0:
                detail = process.stderr.read(500).decode("utf-8", "replace").strip()
                raise SynthesisFailed(self.name, detail or f"exit code {process.returncode}")

    def _read(self, stream: IO[bytes], sink: Sink) -> bool:
        """Pass the samples on; False when the sink stopped it."""
        rate_hz = _skip_wav_header(stream)
        if rate_hz is not None and rate_hz != self.sample_rate_hz:
            raise SynthesisFailed(self.name, f"speaks at {rate_hz} Hz, not {self.sample_rate_hz}")
        while data := stream.read(_CHUNK_BYTES):
            if not sink(np.frombuffer(data[: len(data) & ~1], np.int16)):
                return False
        return True


def _skip_wav_header(stream: IO[bytes]) -> int | None:
    """Read up to the first sample and return the rate; None when nothing came at all."""
    if len(stream.read(12)) < 12:
        return None
    rate_hz = None
    while len(head := stream.read(8)) == 8:
        kind, size = struct.unpack("<4sI", head)
        if kind == b"data":
            break
        body = stream.read(size)
        if kind == b"fmt ":
            rate_hz = struct.unpack_from("<I", body, 4)[0]
    return rate_hz
