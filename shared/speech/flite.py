"""CMU Flite, in process: `libflite` by ctypes with its streaming callback.

Flite renders a sentence in about a hundredth of its length and hands out 25 ms at a time;
answering -1 from the callback stops it at once. ctypes frees the GIL while it runs.

Flite links a voice's features to each utterance instead of copying them, so one voice serves
several threads. There is one streaming callback per voice, therefore the receiver of a synthesis
is found by thread: the callback always runs in the thread that called `render`.

Source: flite 2.2, flite.h, cst_audio.h, cst_wave.h, cst_voice.h (structures and prototypes).
"""

from __future__ import annotations

import ctypes
import threading
from ctypes import POINTER, Structure, c_char_p, c_int, c_short, c_void_p
from ctypes.util import find_library

import numpy as np

from shared.speech.engine import Sink
from shared.speech.errors import SynthesisFailed

_CHUNK_S = 0.025
_STOP, _CONTINUE = -1, 0
_VOICES = {"rms": 16000, "slt": 16000, "awb": 16000, "kal16": 16000, "kal": 8000}


class _Wave(Structure):
    _fields_ = (
        ("type", c_char_p),
        ("sample_rate", c_int),
        ("num_samples", c_int),
        ("num_channels", c_int),
        ("samples", POINTER(c_short)),
    )


class _VoiceStruct(Structure):
    _fields_ = (
        ("name", c_char_p),
        ("features", c_void_p),
        ("ffunctions", c_void_p),
        ("utt_init", c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(c_int, POINTER(_Wave), c_int, c_int, c_int, c_void_p)


class _StreamingInfo(Structure):
    _fields_ = (
        ("min_buffsize", c_int),
        ("asc", _Callback),
        ("utt", c_void_p),
        ("item", c_void_p),
        ("userdata", c_void_p),
    )


class _Receiver(threading.local):
    sink: Sink | None = None
    error: Exception | None = None


_receiver = _Receiver()  # flite has one callback per voice and process; the thread tells them apart


def _on_chunk(
    wave: ctypes._Pointer[_Wave], start: int, size: int, _last: int, _info: object
) -> int:
    if _receiver.sink is None:
        return _STOP
    try:
        if size <= 0:
            return _CONTINUE
        address = ctypes.addressof(wave.contents.samples.contents) + 2 * start
        if _receiver.sink(np.frombuffer(ctypes.string_at(address, 2 * size), np.int16)):
            return _CONTINUE
    except Exception as exc:  # noqa: BLE001 # nothing may pass through C frames; raised by render
        _receiver.error = exc
    _receiver.sink = None
    return _STOP


_on_chunk_address = _Callback(_on_chunk)  # kept for ever: flite holds only its address


class FliteEngine:
    """A voice of libflite: rms, slt, awb, kal16 or kal.

    Raises:
        OSError: the library or the voice is not installed; the text says which file.
    """

    is_ascii_only = True

    _load_lock = threading.Lock()  # registering voices is not thread safe

    def __init__(self, voice: str) -> None:
        if voice not in _VOICES:
            raise OSError(f"flite has no voice {voice!r}, only {', '.join(_VOICES)}")
        self.name = f"flite/{voice}"
        self.sample_rate_hz = _VOICES[voice]
        with self._load_lock:
            self._library = _load("flite")
            self._declare()
            self._library.flite_init()
            self._voice = self._register(voice)
            self._stream_to_callback()

    def render(self, text: str, sink: Sink) -> None:
        """See Engine."""
        _receiver.sink, _receiver.error = sink, None
        try:
            utterance = self._library.flite_synth_text(text.encode("ascii", "ignore"), self._voice)
            if not utterance:
                raise SynthesisFailed(self.name, "flite gave no utterance")
            self._library.delete_utterance(utterance)
            if _receiver.error is not None:
                raise _receiver.error
        finally:
            _receiver.sink = _receiver.error = None

    def _declare(self) -> None:
        for name, result, arguments in (
            ("flite_init", c_int, []),
            ("flite_synth_text", c_void_p, [c_char_p, POINTER(_VoiceStruct)]),
            ("delete_utterance", None, [c_void_p]),
            ("new_audio_streaming_info", POINTER(_StreamingInfo), []),
            ("audio_streaming_info_val", c_void_p, [c_void_p]),
            ("flite_feat_set", None, [c_void_p, c_char_p, c_void_p]),
            ("flite_get_param_val", c_void_p, [c_void_p, c_char_p, c_void_p]),
        ):
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments

    def _register(self, voice: str) -> ctypes._Pointer[_VoiceStruct]:
        _load("flite_usenglish")
        _load("flite_cmulex")
        register = getattr(_load(f"flite_cmu_us_{voice}"), f"register_cmu_us_{voice}")
        register.restype, register.argtypes = POINTER(_VoiceStruct), [c_void_p]
        pointer: ctypes._Pointer[_VoiceStruct] = register(None)
        if not pointer:
            raise OSError(f"flite did not register its voice {voice!r}")
        return pointer

    def _stream_to_callback(self) -> None:
        """Set the callback once in a voice's life: another synthesis may be using it now."""
        features = self._voice.contents.features
        if self._library.flite_get_param_val(features, b"streaming_info", None):
            return
        info = self._library.new_audio_streaming_info()
        info.contents.min_buffsize = int(self.sample_rate_hz * _CHUNK_S) - 1
        info.contents.asc = _on_chunk_address
        value = self._library.audio_streaming_info_val(info)
        self._library.flite_feat_set(features, b"streaming_info", value)


def _load(stem: str) -> ctypes.CDLL:
    tried = []
    for name in (f"lib{stem}.so.1", f"lib{stem}.so", f"lib{stem}.dylib", find_library(stem)):
        if name is None:
            continue
        try:
            return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
        except OSError as exc:
            tried.append(str(exc))
    raise OSError(tried[0] if tried else f"lib{stem} is not installed")
