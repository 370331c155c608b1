"""PURE. What a call was like, from what the handset recorded and when things happened.

All times are milliseconds since the recording began, which for an inbound call is the moment the
answer webhook was sent. Heard means heard at the handset: sent, decoded, and played in its turn.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.simulator.line.handset import Handset
from services.simulator.line.line import AUDIBLE_DBFS, AgentSpan, SaidSpan, SpanEnd
from services.simulator.person.speech_span import STEP_SAMPLES, step_levels_dbfs

GAP_MAX_S = 1.0
"""A longer silence between two stretches of agent audio is a pause between utterances."""
BARGE_IN_WINDOW_S = 3.0
"""An agent that talks on longer than this was not interrupted."""
_MS_PER_SAMPLE = 1 / 8


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The caller spoke over the agent.

    `latency_ms` runs from the onset of the caller's speech (its first 10 ms within 25 dB of the
    talker's level) to silence at the handset, and is None when the agent talked on. `how` is
    cleared, ran out (the queue emptied without a clear) or talked on.
    """

    at_ms: float
    label: str
    latency_ms: float | None
    how: str


@dataclass(frozen=True, slots=True)
class Turn:
    """From the end of the caller's speech to the agent's first sound; None without an answer."""

    at_ms: float
    label: str
    latency_ms: float | None


@dataclass(frozen=True, slots=True)
class Gap:
    """The queue ran dry within agent speech."""

    at_ms: float
    duration_ms: float
    is_mid_sentence: bool  # no checkpoint stood where it ran dry


def ms(samples: float) -> float:
    """Return samples of the recording as milliseconds."""
    return round(samples * _MS_PER_SAMPLE, 1)


def first_sound(handset: Handset, after: int = 0) -> int | None:
    """Return the first sample of the first 10 ms louder than -50 dBFS, from `after` on."""
    loud = np.flatnonzero(step_levels_dbfs(handset.heard()[after:]) > AUDIBLE_DBFS)
    return after + int(loud[0]) * STEP_SAMPLES if loud.size else None


def turn_latencies(
    said: Sequence[SaidSpan], spans: Sequence[AgentSpan], handset: Handset
) -> list[Turn]:
    """Return how long the caller waited for an answer to each thing said.

    The answer is the first sound, after the caller's speech ended and before the caller speaks
    again, of agent audio that was not yet playing when that speech began.
    """
    turns = []
    for index, utterance in enumerate(said):
        next_onset = said[index + 1].onset if index + 1 < len(said) else None
        end = utterance.speech_end
        begun = next((s.start for s in spans if s.start > utterance.onset and s.end > end), None)
        answer = None if begun is None else first_sound(handset, max(end, begun))
        if answer is not None and next_onset is not None and answer >= next_onset:
            answer = None
        latency_ms = None if answer is None else ms(answer - end)
        turns.append(Turn(ms(end), utterance.label, latency_ms))
    return turns


def barge_ins(said: Sequence[SaidSpan], spans: Sequence[AgentSpan]) -> list[BargeIn]:
    """Return every time the caller began to speak while agent audio was playing."""
    found = []
    window = BARGE_IN_WINDOW_S * 8000
    for utterance in said:
        onset = utterance.onset
        span = next((s for s in spans if s.start <= onset < s.end), None)
        if span is None:
            continue
        is_in_time = span.end - onset <= window and span.ended_by is not SpanEnd.OPEN
        how = "talked on"
        if is_in_time:
            how = "cleared" if span.ended_by is SpanEnd.CLEAR else "ran out"
        latency_ms = ms(span.end - onset) if is_in_time else None
        found.append(BargeIn(ms(onset), utterance.label, latency_ms, how))
    return found


def gaps(spans: Sequence[AgentSpan]) -> list[Gap]:
    """Return where the queue ran dry for less than a second within agent speech."""
    found = []
    for before, after in itertools.pairwise(spans):
        silence = after.start - before.end
        ran_out = before.ended_by in (SpanEnd.DRY, SpanEnd.CHECKPOINT)
        if ran_out and 0 < silence < GAP_MAX_S * 8000:
            is_mid = before.ended_by is SpanEnd.DRY
            found.append(Gap(ms(before.end), ms(silence), is_mid))
    return found


def false_interruptions(said: Sequence[SaidSpan], spans: Sequence[AgentSpan]) -> list[float]:
    """Return when agent audio was cleared although the caller was not speaking, in ms."""
    grace = round(1.5 * 8000)
    return [
        ms(span.end)
        for span in spans
        if span.ended_by is SpanEnd.CLEAR
        and not any(s.onset <= span.end <= s.speech_end + grace for s in said)
    ]


def summary(values: Iterable[float | None]) -> dict[str, float | int | None]:
    """Return count, median, 95th percentile and maximum of what is not None."""
    numbers = sorted(value for value in values if value is not None)
    if not numbers:
        return {"count": 0, "p50": None, "p95": None, "max": None}
    return {
        "count": len(numbers),
        "p50": round(statistics.median(numbers), 1),
        "p95": round(numbers[min(len(numbers) - 1, int(len(numbers) * 0.95))], 1),
        "max": round(numbers[-1], 1),
    }


def lows(values: Iterable[float | None]) -> dict[str, float | int | None]:
    """Return count, minimum, 5th percentile and median of what is not None."""
    numbers = sorted(value for value in values if value is not None)
    if not numbers:
        return {"count": 0, "least": None, "p5": None, "p50": None}
    return {
        "count": len(numbers),
        "least": round(numbers[0], 1),
        "p5": round(numbers[int(len(numbers) * 0.05)], 1),
        "p50": round(statistics.median(numbers), 1),
    }


def in_hand(least_ms: float | None) -> str:
    """Return how much audio was in hand at least, for a line a person reads; '' if not known."""
    return "" if least_ms is None else f", at least {least_ms:.0f} ms in hand"


def spans_json(said: Sequence[SaidSpan], spans: Sequence[AgentSpan]) -> dict[str, Any]:
    """Return who spoke when."""
    return {
        "caller": [
            {
                "text": s.label,
                "onset_ms": ms(s.onset),
                "end_ms": ms(s.speech_end),
                "level_dbfs": s.level_dbfs,
                "over_agent": s.is_over_agent,
            }
            for s in said
        ],
        "agent": [
            {"from_ms": ms(s.start), "to_ms": ms(s.end), "ended_by": s.ended_by.value}
            for s in spans
        ],
    }
