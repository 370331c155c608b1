"""PURE. What the outcomes of the set come down to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deploy.bench.interruptions.cases import Wanted
from deploy.bench.interruptions.stage import SPEECH, Outcome
from services.simulator.results.report import summary

SILENCE_P50_MS, SILENCE_P95_MS = 120.0, 200.0
"""From the onset of the caller's speech until the handset is silent, at most."""
COMMITTED_RATIO, GOES_ON_RATIO = 0.98, 0.95
"""The least part of the interruptions that is committed, and of other sounds that is not."""
HEARD_TOLERANCE_S = 1.0
"""Text is laid over audio by its length: words differ, and so do the pauses between sentences."""
SAID_AGAIN_S = 1.5
"""The most that may be heard twice where the agent took up what was cut."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures of one kind of case, or of all.

    Attributes:
        cases: how many.
        right: how many ended as wanted.
        stopped: how many stopped the agent, if only for a moment.
        history_wrong: what the history got wrong, a line each.
        silence_ms: of the interruptions: count, p50, p95, max.
    """

    cases: int
    right: int
    stopped: int
    history_wrong: tuple[str, ...]
    silence_ms: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready fields."""
        return asdict(self)


def judge(outcomes: Sequence[Outcome]) -> dict[str, Verdict]:
    """Return a verdict for each kind, and for `interruptions`, `other sounds` and `all`."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        is_interruption = outcome.case.wanted is Wanted.COMMITTED
        for name in (
            outcome.case.kind,
            "interruptions" if is_interruption else "other sounds",
            "all",
        ):
            groups.setdefault(name, []).append(outcome)
    return {name: _verdict(group) for name, group in groups.items()}


def shortfalls(verdicts: Mapping[str, Verdict]) -> list[str]:
    """Return what the set falls short of, a line each."""
    spoken, others, wrong = (verdicts[name] for name in ("interruptions", "other sounds", "all"))
    p50_ms, p95_ms = spoken.silence_ms["p50"], spoken.silence_ms["p95"]
    claims = {
        f"silence after {p50_ms} ms, p50": (p50_ms or 1e9) <= SILENCE_P50_MS,
        f"silence after {p95_ms} ms, p95": (p95_ms or 1e9) <= SILENCE_P95_MS,
        f"{spoken.right} of {spoken.cases} interruptions committed": spoken.right
        >= COMMITTED_RATIO * spoken.cases,
        f"went on after {others.right} of {others.cases} other sounds": others.right
        >= GOES_ON_RATIO * others.cases,
        f"history wrong in {len(wrong.history_wrong)} cases": not wrong.history_wrong,
    }
    return [claim for claim, holds in claims.items() if not holds]


def _verdict(outcomes: Sequence[Outcome]) -> Verdict:
    wrong = (history_fault(outcome) for outcome in outcomes)
    return Verdict(
        cases=len(outcomes),
        right=sum(is_right(outcome) for outcome in outcomes),
        stopped=sum(outcome.was_stopped for outcome in outcomes),
        history_wrong=tuple(fault for fault in wrong if fault),
        silence_ms=summary(
            outcome.silence_ms for outcome in outcomes if outcome.case.wanted is Wanted.COMMITTED
        ),
    )


def is_right(outcome: Outcome) -> bool:
    """Whether a case ended as wanted."""
    return outcome.was_committed == (outcome.case.wanted is Wanted.COMMITTED)


def history_fault(outcome: Outcome) -> str:
    """Say where the history differs from what the handset played; empty where it does not."""
    name = f"{outcome.case.kind} at {outcome.case.at_s:.1f} s"
    if outcome.was_committed:
        if not SPEECH.startswith(outcome.told):
            return f"{name}: not what was said: {outcome.told!r}"
        told_s = len(outcome.told) / len(SPEECH) * outcome.whole_s
        if abs(told_s - outcome.heard_s) > HEARD_TOLERANCE_S:
            return f"{name}: tells {told_s:.1f} s, heard {outcome.heard_s:.1f} s"
        return ""
    if outcome.told != SPEECH:
        return f"{name}: tells only {outcome.told!r}"
    if not -0.03 <= outcome.heard_s - outcome.whole_s <= SAID_AGAIN_S:
        return f"{name}: heard {outcome.heard_s:.1f} s of {outcome.whole_s:.1f} s"
    return ""
