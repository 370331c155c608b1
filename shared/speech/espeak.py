"""eSpeak NG from the `espeakng-loader` wheel: the one engine that needs no system package.

The library has one global state, so one synthesis runs at a time in a process: a lock around it.
It is GPL-3.0 and therefore only used where the operator has installed the wheel.

Source: eSpeak NG 1.52, speak_lib.h (prototypes, constants, espeak_EVENT not read).
"""

from __future__ import annotations

import ctypes
import threading
from ctypes import POINTER, c_char_p, c_int, c_short, c_size_t, c_uint, c_void_p

import numpy as np

from shared.speech.engine import Sink
from shared.speech.errors import SynthesisFailed

_AUDIO_OUTPUT_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_PARAMETER_RATE = 1
_WORDS_PER_MINUTE = 160
_BUFFER_MS = 50

_Callback = ctypes.CFUNCTYPE(c_int, POINTER(c_short), c_int, c_void_p)


class _Library:
    """The loaded library with its lock; one in a process, because its state is one."""

    lock = threading.Lock()
    shared: _Library | None = None

    def __init__(self) -> None:
        try:
            import espeakng_loader  # only where the operator installed it
        except ImportError as exc:
            raise OSError("the Python package espeakng-loader is not installed") from exc
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        for name, result, arguments in (
            ("espeak_Initialize", c_int, [c_int, c_int, c_char_p, c_int]),
            ("espeak_SetSynthCallback", None, [_Callback]),
            ("espeak_SetVoiceByName", c_int, [c_char_p]),
            ("espeak_SetParameter", c_int, [c_int, c_int, c_int]),
            (
                "espeak_Synth",
                c_int,
                [c_char_p, c_size_t, c_uint, c_int, c_uint, c_uint, c_void_p, c_void_p],
            ),
        ):
            function = getattr(self.library, name)
            function.restype, function.argtypes = result, arguments
        data = str(espeakng_loader.get_data_path()).encode()
        self.rate_hz: int = self.library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, _BUFFER_MS, data, 0
        )
        if self.rate_hz <= 0:
            raise OSError("the library of espeakng-loader did not start")
        self.sink: Sink | None = None
        self.error: Exception | None = None
        self._callback = _Callback(self._on_chunk)
        self.library.espeak_SetSynthCallback(self._callback)

    def _on_chunk(
        self, samples: ctypes._Pointer[c_short] | None, count: int, _events: object
    ) -> int:
        if self.sink is None:
            return 1
        try:
            if not samples or count <= 0:
                return 0
            address = ctypes.addressof(samples.contents)
            if self.sink(np.frombuffer(ctypes.string_at(address, 2 * count), np.int16)):
                return 0
        except Exception as exc:  # noqa: BLE001 # nothing may pass through C frames; raised by render
            self.error = exc
        self.sink = None
        return 1


class EspeakEngine:
    """A voice of the espeakng-loader wheel, by eSpeak's own name, e.g. `en-us`.

    Raises:
        OSError: the wheel is not installed, or has no such voice.
    """

    is_ascii_only = False

    def __init__(self, voice: str) -> None:
        with _Library.lock:
            if _Library.shared is None:
                _Library.shared = _Library()
            self._library = _Library.shared
            self._voice = voice.encode()
            if self._library.library.espeak_SetVoiceByName(self._voice) != 0:
                raise OSError(f"espeakng-loader has no voice {voice!r}")
        self.name = f"espeakng-loader/{voice}"
        self.sample_rate_hz = self._library.rate_hz

    def render(self, text: str, sink: Sink) -> None:
        """See Engine; waits for other syntheses of this engine to finish first."""
        data = text.encode("utf-8", "ignore") + b"\0"
        with _Library.lock:
            shared = self._library
            shared.library.espeak_SetVoiceByName(self._voice)
            shared.library.espeak_SetParameter(_PARAMETER_RATE, _WORDS_PER_MINUTE, 0)
            shared.sink, shared.error = sink, None
            try:
                code = shared.library.espeak_Synth(
                    data, len(data), 0, 0, 0, _CHARS_UTF8, None, None
                )
                if shared.error is not None:
                    raise shared.error
            finally:
                shared.sink = shared.error = None
        if code != 0:
            raise SynthesisFailed(self.name, f"espeak_Synth gave {code}")
