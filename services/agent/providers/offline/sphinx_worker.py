"""The recogniser's own process: utterances come in by stdin, recognitions go out by stdout.

    request    <u32 length of head><u32 length of audio><head: JSON><audio: int16 8 kHz>
    answer     <u32 length><JSON>

One request at a time, answered in order. The first answer, without a request, says that the
process is ready. It ends when its stdin does, that is, with its parent whatever becomes of it.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from dataclasses import asdict
from typing import IO, Any

import numpy as np

from services.agent.providers.offline.sphinx_decoder import SphinxDecoder

_NICENESS = 5  # callers' frames come before words: the event loop has the processor first
HEAD = struct.Struct("<II")
LENGTH = struct.Struct("<I")


def serialize_request(phrases: list[str], *, digits: bool, audio: bytes) -> bytes:
    """Return the bytes of one request; `audio` is int16 8 kHz, little-endian."""
    head = json.dumps({"phrases": phrases, "digits": digits}).encode()
    return HEAD.pack(len(head), len(audio)) + head + audio


def _serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    decoder = SphinxDecoder()
    decoder.recognise(np.zeros(8000, np.int16), ["yes"], digits=False)  # the first one is slow
    _answer(answers, {"ready": True})
    while len(sizes := requests.read(HEAD.size)) == HEAD.size:
        head_bytes, audio_bytes = HEAD.unpack(sizes)
        head = json.loads(requests.read(head_bytes))
        pcm = np.frombuffer(requests.read(audio_bytes), "<i2").astype(np.int16)
        found = decoder.recognise(pcm, head["phrases"], digits=head["digits"])
        _answer(answers, asdict(found))


def _answer(answers: IO[bytes], body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    answers.write(LENGTH.pack(len(data)) + data)
    answers.flush()


def main() -> None:
    """Serve until stdin ends; whatever a library prints goes to stderr."""
    os.nice(_NICENESS)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    _serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
