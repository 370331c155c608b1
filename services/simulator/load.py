"""Many calls at once, and one report of them all."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.simulator.calls.call import Call
from services.simulator.calls.cloud import Cloud
from services.simulator.calls.plan import CallPlan
from services.simulator.calls.wheel import Lag
from services.simulator.results.call_report import build_report
from services.simulator.results.outputs import write_files
from services.simulator.results.report import in_hand, lows, summary

BOTTLENECK_LAG_MS = 10.0
"""When the client's own steps are later than this in 1 of 100 cases, its figures are doubtful."""
_FIRST_AUDIO = (
    "answer_to_first_audio_ms",
    "answer_to_first_frame_ms",
    "answer_to_socket_open_ms",
    "socket_open_to_first_audio_ms",
)


async def play_load(cloud: Cloud, plans: Sequence[CallPlan], *, over_s: float) -> list[Call]:
    """Run the calls, begun evenly over `over_s` seconds; returns when all are over."""
    spacing_s = over_s / max(1, len(plans))
    begun_s = cloud.clock.now_s()
    calls = []
    for index, plan in enumerate(plans):
        await cloud.clock.sleep(begun_s + index * spacing_s - cloud.clock.now_s())
        calls.append(cloud.start(plan))
    for call in calls:
        await call.over.wait()
    return calls


def load_report(calls: Sequence[Call], lag: Lag) -> dict[str, Any]:
    """Return the figures over all calls, and why calls failed."""
    reports = [build_report(call) for call in calls]
    failures = Counter(problem for report in reports for problem in set(report["failures"]))
    endings = Counter(
        f"{r['ending']['code']} {r['ending']['name']} by {r['ending']['source']}"
        for r in reports
        if r["ending"]
    )
    return {
        "calls": len(reports),
        "failed": sum(not report["ok"] for report in reports),
        "failures": dict(failures.most_common()),
        "endings": dict(endings.most_common()),
        "most_at_once": most_at_once(calls),
        "call_s": summary(float(report["duration_s"]) for report in reports),
        **{name: summary(report[name] for report in reports) for name in _FIRST_AUDIO},
        "turn_latency_ms": summary(t["latency_ms"] for r in reports for t in r["turns"]),
        "unanswered_turns": sum(t["latency_ms"] is None for r in reports for t in r["turns"]),
        "barge_in_latency_ms": summary(b["latency_ms"] for r in reports for b in r["barge_ins"]),
        "barge_ins": sum(len(report["barge_ins"]) for report in reports),
        "barge_ins_talked_over": sum(
            b["latency_ms"] is None for r in reports for b in r["barge_ins"]
        ),
        "false_interruptions": sum(len(report["false_interruptions_ms"]) for report in reports),
        "underruns": sum(report["underruns"] for report in reports),
        "calls_with_underruns": sum(report["underruns"] > 0 for report in reports),
        "least_in_hand_ms": lows(r["play_audio"]["in_hand_ms"]["least"] for r in reports),
        "webhook_ms": summary(w["took_ms"] for r in reports for w in r["webhooks"]),
        "answer_webhook_ms": summary(
            w["took_ms"] for r in reports for w in r["webhooks"] if w["event"] == "StartApp"
        ),
        "simulator_lag": lag.to_json(),
        "simulator_cpu_s": round(time.process_time(), 2),
        "is_client_the_bottleneck": lag.percentile_ms(99) > BOTTLENECK_LAG_MS,
    }


def most_at_once(calls: Sequence[Call]) -> int:
    """Return how many calls were up at the same time at most."""
    changes = []
    for call in calls:
        if call.times.answered is not None and call.times.ended is not None:
            changes += [(call.times.answered, 1), (call.times.ended, -1)]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def load_lines(report: dict[str, Any]) -> list[str]:
    """Return the aggregated report in a few lines."""
    lag = report["simulator_lag"]
    lines = [
        f"{report['calls']} calls, {report['most_at_once']} at once at most, "
        f"{report['failed']} failed"
    ]
    lines += [f"  {count} x {problem}" for problem, count in report["failures"].items()]
    lines += [
        f"  answer to first agent audio: {_line(report['answer_to_first_audio_ms'])}",
        f"  caller waited for an answer: {_line(report['turn_latency_ms'])}"
        f", {report['unanswered_turns']} never answered",
        f"  silence after barging in:    {_line(report['barge_in_latency_ms'])}"
        f", {report['barge_ins_talked_over']} talked over",
        f"  underruns: {report['underruns']} in {report['calls_with_underruns']} calls"
        f"{in_hand(report['least_in_hand_ms']['least'])}",
        f"  false interruptions: {report['false_interruptions']}",
        f"  answer webhook: {_line(report['answer_webhook_ms'])}",
        f"  this client's own steps: p50 {lag['p50_ms']:.0f} ms, p99 {lag['p99_ms']:.0f} ms, "
        f"worst {lag['worst_ms']:.0f} ms late",
    ]
    if report["is_client_the_bottleneck"]:
        lines.append("  WARNING: this client was late itself: don't believe the figures above")
    return lines


async def write_load(
    calls: Sequence[Call], report: dict[str, Any], folder: Path, *, keep: str
) -> None:
    """Write report.json, and the files of failed or all calls where they are to be kept."""
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"

    def write() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(text, encoding="utf-8")

    await asyncio.to_thread(write)
    for call in calls:
        one = build_report(call)
        if keep == "all" or (keep == "failed" and not one["ok"]):
            await write_files(call, one, folder / call.call_uuid, has_picture=False)


def _line(values: dict[str, Any]) -> str:
    if not values["count"]:
        return "nothing to measure"
    return (
        f"p50 {values['p50']:.0f} ms, p95 {values['p95']:.0f} ms, "
        f"max {values['max']:.0f} ms of {values['count']}"
    )
