"""PURE. Where the time of a turn went: the line, the deliberate wait, the providers, the platform.

    caller's last sound ─▶ its 20 ms are over ─▶ had by the recogniser ─▶ end of turn decided ─▶
    first audio at the cloud ─▶ first sound in the ear

The line is the simulator's: what is left of the caller's last 20 ms, and the wait of the agent's
first 20 ms for their slot. The wait is what turn-taking asks for, from when the caller's last
frame had reached the worker until the end of the turn was decided; what providers did meanwhile
cost nobody time. Of the rest, until the first audio is back at the cloud, the providers' own times
are what their stand-ins measured (`tape.py`), overlaps counted once. The platform's overhead
is everything else: the caller's last frame on its way in, and what lies between the providers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deploy.bench.turns.tape import Span, TurnTimes
from services.simulator.results.report import summary

_FRAME_S = 0.02


@dataclass(frozen=True, slots=True)
class Seen:
    """What the cloud's side saw of a turn, in seconds of the monotonic clock.

    Attributes:
        speech_end_s: the caller's last sound.
        frame_end_s: the end of the 20 ms that hold it.
        frame_had_s: when the recogniser had these.
        decided_s: when the worker decided that the turn was over.
        audio_s: when the first audio of the answer arrived.
        sound_s: when the first sound of it was heard.
        stages_ms: the worker's own view, by stage.
    """

    speech_end_s: float
    frame_end_s: float
    frame_had_s: float
    decided_s: float
    audio_s: float
    sound_s: float
    stages_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TurnCost:
    """Milliseconds of one turn; `line`, `waiting`, `providers` and `overhead` make `total`.

    `way_in`, `to_model`, `to_voice` and `to_ear` are the platform's part of the way, whether or
    not somebody waited for it: audio in, words to the model's request, sentence to the voice's
    request, samples to the cloud. `lookahead` is the part of the model's time that went by until
    the character after its first sentence. `before_last_token`: how long before the model's last
    token the first audio was at the cloud.
    """

    total: float
    line: float
    waiting: float
    providers: float
    overhead: float
    way_in: float
    to_model: float
    to_voice: float
    to_ear: float
    lookahead: float
    before_last_token: float
    worker_platform: float
    worker_providers: float


def cost_of(seen: Seen, vendors: TurnTimes) -> TurnCost:
    """Take a turn apart."""
    spans = [vendors.words, vendors.thought, vendors.spoke]
    if vendors.settled is not None and seen.stages_ms.get("transcription", 0) > 1:
        spans.append(vendors.settled)  # the answer waited for it
    providers_s = covered_s(spans, (seen.decided_s, seen.audio_s))
    way_in_s = seen.frame_had_s - seen.frame_end_s
    overhead_s = way_in_s + (seen.audio_s - seen.decided_s) - providers_s
    line_s = (seen.frame_end_s - seen.speech_end_s) + (seen.sound_s - seen.audio_s)
    stages = seen.stages_ms
    return TurnCost(
        total=_ms(seen.sound_s - seen.speech_end_s),
        line=_ms(line_s),
        waiting=_ms(seen.decided_s - seen.frame_had_s),
        providers=_ms(providers_s),
        overhead=_ms(overhead_s),
        way_in=_ms(way_in_s),
        to_model=_ms(vendors.thought[0] - vendors.words[1]),
        to_voice=_ms(vendors.spoke[0] - vendors.thought[1]),
        to_ear=_ms(seen.audio_s - vendors.spoke[1]),
        lookahead=_ms(vendors.thought[1] - vendors.sentence_s),
        before_last_token=_ms(vendors.last_token_s - seen.audio_s),
        worker_platform=stages.get("platform", 0.0),
        worker_providers=round(
            sum(stages.get(name, 0.0) for name in ("transcription", "brain", "synthesis")), 1
        ),
    )


def covered_s(spans: Iterable[Span], within: Span) -> float:
    """Return how much of a time is covered by spans, overlaps counted once."""
    reached_s, covered = within[0], 0.0
    for begin_s, end_s in sorted(spans):
        begin_s, end_s = max(begin_s, reached_s), min(end_s, within[1])
        if end_s > begin_s:
            covered += end_s - begin_s
            reached_s = end_s
    return covered


def first_frame(came_s: Sequence[float], origin_s: float) -> int:
    """Return the number of the line's 20 ms that came first.

    A frame never comes before it is over, and the quickest of a call takes less than 20 ms.

    Args:
        came_s: when the first, second, ... had come.
        origin_s: when the line's first 20 ms began.
    """
    least_s = min(at_s - n * _FRAME_S for n, at_s in enumerate(came_s))
    return int((least_s - origin_s) // _FRAME_S) - 1


def summaries(costs: Sequence[TurnCost]) -> dict[str, dict[str, Any]]:
    """Return count, p50, p95 and max of each part, in milliseconds."""
    rows = [asdict(cost) for cost in costs]
    return {name: summary(row[name] for row in rows) for name in rows[0]} if rows else {}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
