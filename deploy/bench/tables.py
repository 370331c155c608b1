"""What the bench prints of its longer sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.bench.interruptions.judge import Verdict, shortfalls
from deploy.bench.turns import (
    FIRST_CHUNK_S,
    FIRST_TOKEN_S,
    MOST_OVERHEAD_MS,
    STT_FINAL_S,
    TOKEN_S,
    VendorTurns,
)

TURNS_HEAD = (
    "\nTurns with vendors, milliseconds (stand-ins: words"
    f" {STT_FINAL_S * 1000:.0f} after the end, first token {FIRST_TOKEN_S * 1000:.0f}, then"
    f" {TOKEN_S * 1000:.0f} each, first samples {FIRST_CHUNK_S * 1000:.0f}):"
)
_PARTS = {
    "total": "caller's last sound to first sound",
    "line": "the line: 20 ms each way",
    "waiting": "deliberate wait for the end",
    "providers": "providers, after the wait",
    "overhead": "the platform",
    "way_in": "  audio to the recogniser",
    "to_model": "  words to the model",
    "to_voice": "  sentence to the voice",
    "to_ear": "  samples to the cloud",
    "before_last_token": "first audio before last token",
}


PATH_HEAD = (
    "  CPU-seconds for each call-minute; MB for each call; 99th percentiles in milliseconds:\n"
    "  calls workers  line |  total gateway  worker   redis |  gw MB  wk MB |"
    "  loop  paced  handset  least lead | out/s underruns"
)


def path_row(row: Mapping[str, Any]) -> str:
    """Return a line of the whole path's table."""
    load, handset = row["load"], row["handset"]
    line = (
        f"  {load['calls']:>5} {load['workers']:>7} {load['line_dbfs']:>5.0f} |"
        f" {row['total']:>6.3f} {row['gateway']:>7.3f} {row['worker']:>7.3f} {row['redis']:>7.3f} |"
        f" {row['gateway_mb_per_call']:>6.2f} {row['worker_mb_per_call']:>6.2f} |"
        f" {row['lag_ms']:>5.1f} {row['lateness_ms']:>6.1f} {handset['pacing_ms']['p99']:>8.1f}"
        f" {handset['least_lead_ms']:>11.0f} | {row['frames_out']:>5.1f} {handset['underruns']:>9}"
    )
    return line + _warning(row)


def _warning(row: Mapping[str, Any]) -> str:
    return f"\n    WARNING: {row['trouble']}" if row.get("trouble") else ""


def print_turns(found: VendorTurns) -> None:
    """Print the turns of one number of calls."""
    print(f"  {found.calls} at once, {found.turns} turns{'':<22} {'p50':>8} {'p95':>8} {'max':>8}")
    for name, title in _PARTS.items():
        values = found.parts_ms[name]
        print(f"    {title:<38} {values['p50']:>8} {values['p95']:>8} {values['max']:>8}")
    if found.left_out:
        print(f"    left out, not answered in the usual way: {found.left_out}")
    if found.late_first_audio:
        print(f"    WARNING: first audio after the last token in {found.late_first_audio} turns")
    if not found.is_quick:
        most = ", ".join(f"{name} {value:.0f}" for name, value in MOST_OVERHEAD_MS.items())
        print(f"    WARNING: the platform is to take at most {most}")
    if found.is_client_the_bottleneck:
        print("    WARNING: the simulator was late itself: the machine is too busy")


def print_interruptions(verdicts: Mapping[str, Verdict]) -> None:
    """Print what came of the set, kind by kind."""
    print("\nInterruptions, and sounds that are none (silence in milliseconds at the handset):")
    head = ("cases", "right", "stopped", "history wrong", "silence p50", "p95")
    print(f"  {'':<14}" + "".join(f"{name:>{max(8, len(name) + 2)}}" for name in head))
    summaries = ("interruptions", "other sounds", "all")
    for name in (*(kind for kind in verdicts if kind not in summaries), *summaries):
        verdict = verdicts[name]
        silence = verdict.silence_ms
        row = (
            *(verdict.cases, verdict.right, verdict.stopped, len(verdict.history_wrong)),
            *("-" if silence[p] is None else silence[p] for p in ("p50", "p95")),
        )
        cells = (
            f"{value:>{max(8, len(title) + 2)}}" for title, value in zip(head, row, strict=True)
        )
        print(f"  {name:<14}" + "".join(cells))
    for shortfall in shortfalls(verdicts):
        print(f"  WARNING: {shortfall}")
