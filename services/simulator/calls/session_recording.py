"""`<Record recordSession="true">`: what is told of it, and the file.

A WAV is what the handset recorded from the verb on. Where MP3 is asked for the file is a real MP3
of the right length and silent: nothing here encodes one.

Source: vobiz.ai docs, Record verb and callbacks pages, read 2026-11.
"""

from __future__ import annotations

import io
import uuid
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.simulator.calls.plan import CallPlan, Target
from services.simulator.calls.verbs import Verb
from services.simulator.line.handset import SAMPLE_RATE_HZ, Handset

CONTENT_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_NOWHERE = "https://media.example.invalid"
# One frame of MPEG 2.5 layer III: 8 kbit/s, 8 kHz, mono, 72 bytes, 72 ms, nothing coded in it.
_SILENT_FRAME = bytes.fromhex("ffe318c0") + bytes(68)
_FRAME_SAMPLES = 576


@dataclass(frozen=True, slots=True)
class SessionRecording:
    """One that runs from the verb to the call's end."""

    recording_id: str
    file_format: str
    url: str
    callback: Target | None
    began: int  # samples of the handset's recording

    def begun_fields(self) -> dict[str, str]:
        """What the action is told at once."""
        return {"RecordUrl": self.url, "RecordingID": self.recording_id}

    def stop_fields(self, heard: int) -> dict[str, str]:
        """What the callback is told after so many samples of the handset's recording."""
        start_ms, end_ms = self.began * 1000 // SAMPLE_RATE_HZ, heard * 1000 // SAMPLE_RATE_HZ
        return {
            **self.begun_fields(),
            "RecordingDuration": str(round((end_ms - start_ms) / 1000)),
            "RecordingDurationMs": str(end_ms - start_ms),
            "RecordingStartMs": str(start_ms),
            "RecordingEndMs": str(end_ms),
            "RecordingEndReason": "HungUp",
        }

    def file(self, handset: Handset) -> bytes:
        """Return the recording, as far as the call has come."""
        stereo = handset.stereo()[self.began :]
        if self.file_format == "wav":
            return _wav(stereo)
        return _SILENT_FRAME * max(1, -(-len(stereo) // _FRAME_SAMPLES))


def begin_recording(verb: Verb, plan: CallPlan, began: int) -> SessionRecording:
    """Return what a verb asks for; `began` is where the handset's recording is."""
    recording_id = str(uuid.uuid5(uuid.NAMESPACE_URL, plan.facts.call_uuid))
    wanted = verb.get("fileFormat", "mp3")
    file_format = wanted if wanted in CONTENT_TYPES else "mp3"
    name = f"{plan.facts.call_uuid}/{recording_id}.{file_format}"
    callback = verb.get("callbackUrl")
    return SessionRecording(
        recording_id=recording_id,
        file_format=file_format,
        url=f"{plan.media_base or _NOWHERE}/Recording/{name}",
        callback=Target(callback, verb.get("callbackMethod", "POST")) if callback else None,
        began=began,
    )


def _wav(stereo: NDArray[np.int16]) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(stereo.astype("<i2").tobytes())
    return content.getvalue()
