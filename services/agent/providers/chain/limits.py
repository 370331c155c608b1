"""PURE. How long a provider of a chain may take, and when it is left alone for a while."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChainLimits:
    """The limits of one agent; see `Limits` of its file.

    Attributes:
        first_s: a language model's first piece, all tries of one model together.
        next_s: each next piece of a model.
        tts_first_s: a voice's first audio, all tries of one voice together.
        tts_next_s: each next piece of a voice: the caller has heard the last one by then, mostly.
        stt_final_s: a recogniser's text after the end of speech.
        last_patience: so many times as much for whom nobody else would be sooner than: the last
            recogniser of a chain, a voice that runs here.
        retries: how often one provider is asked again after a failure that may pass.
        retry_wait_s: the pause before that where a provider is too busy.
        breaker_failures: so many within `breaker_window_s` open its breaker, for `breaker_open_s`.
        breaker_refused_s: how long it is open after a refusal for good: a wrong key, no SDK.
    """

    first_s: float = 3.0
    next_s: float = 2.0
    tts_first_s: float = 1.2
    tts_next_s: float = 1.2
    stt_final_s: float = 2.0
    last_patience: float = 4.0
    retries: int = 1
    retry_wait_s: float = 0.2
    breaker_failures: int = 5
    breaker_window_s: float = 30.0
    breaker_open_s: float = 15.0
    breaker_refused_s: float = 60.0
