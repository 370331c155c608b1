"""What the bench prints of its longer sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deploy.bench.interruptions.judge import Verdict, shortfalls
from deploy.bench.reactions import Reactions
from deploy.bench.report.fits import WAKE_UPS
from deploy.bench.turns.measure import (
    FIRST_CHUNK_S,
    FIRST_TOKEN_S,
    MOST_OVERHEAD_MS,
    STT_FINAL_S,
    TOKEN_S,
    VendorTurns,
)

TURNS_HEAD = (
    "  milliseconds (stand-ins: words"
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


FRAMES_HEAD = f"  {'one 20 ms frame':<32} {'CPU us':>8}"
DESIGN_HEAD = (
    "  CPU-seconds for each call-minute:\n  design      calls |  total   relay  server | out/s"
)
RELAY_HEAD = (
    "  CPU-seconds for each call-minute; a frame's delay in milliseconds, the slower way:\n"
    "  relay   calls |   CPU-s     p50     p99 | client late p99   lost     MB"
)
CONVERSATION_HEAD = (
    "  CPU-seconds for each call-minute (idle: each minute); the recogniser is part of the agent:\n"
    f"  {'calls':>5} {'gateway':>9} {'agent':>9} {'recogniser':>11} {'redis':>9}"
)
PATH_HEAD = (
    "  CPU-seconds for each call-minute; MB for each call; 99th percentiles in milliseconds:\n"
    "  calls workers  line |  total gateway  worker   redis |  gw MB  wk MB |"
    "  loop  paced  handset  least lead | out/s underruns"
)


def frame_row(step: str, row: Mapping[str, Any]) -> str:
    """Return a line of what a frame's steps cost."""
    return f"  {step:<32} {row['cpu_us']:>8.2f}"


def print_instructions(found: Mapping[str, Any]) -> None:
    """Print what was counted."""
    for interpreter, counted in found.items():
        print(f"  one 20 ms frame, instructions of {interpreter}")
        for step, count in counted["steps"].items():
            print(f"  {step:<32} {count:>13,}")


def design_row(row: Mapping[str, Any]) -> str:
    """Return a line of the floors' table, and of the usual design's."""
    line = (
        f"  {row['design']:<11} {row['calls']:>5} | {row['total']:>6.3f} {row['relay']:>7.3f}"
        f" {row['server']:>7.3f} | {row['frames_out']:>5.1f}"
    )
    return line + ("" if row["is_whole"] else "  at its limit") + _warning(row)


def relay_row(row: Mapping[str, Any]) -> str:
    """Return a line of the relays' table."""
    return (
        f"  {row['relay']:<7} {row['calls']:>5} | {row['cpu_s']:>7.4f} {row['delay_ms_p50']:>7.3f}"
        f" {row['delay_ms_p99']:>7.3f} | {row['late_ms_p99']:>15.3f} {row['lost_frames']:>6}"
        f" {row['resident_mb']:>6.1f}"
    )


def conversation_row(row: Mapping[str, Any]) -> str:
    """Return a line of the conversations' table."""
    return (
        f"  {row['calls'] or 'idle':>5} {row['gateway']:>9.3f} {row['agent']:>9.3f}"
        f" {row['agent_recogniser']:>11.3f} {row['redis']:>9.3f}"
    )


def law_line(law: Mapping[str, Any]) -> str:
    """Return the law of what calls cost, in words."""
    return (
        f"  CPU-seconds a minute: {law['fixed']:.2f} fixed, {law['per_wake_up']:.2f} for each of"
        f" the first {WAKE_UPS} calls, {law['per_call']:.3f} for each call,"
        f" {law['per_worker']:.2f} for each further worker; worst point off by"
        f" {law['worst_share']:.0%}"
    )


def soak_lines(row: Mapping[str, Any]) -> str:
    """Return what came of the soak."""
    handset = row["handset"]
    return (
        f"  {row['calls']} calls for {row['seconds']:.0f} s, {row['frames_out']:.1f} frames out a"
        f" second and call, {row['worker_cpu_share']:.0%} of the worker's core\n"
        f"  pacing p99: {handset['pacing_ms']['p99']:.1f} ms at the handset, at most"
        f" {row['lateness_ms']:.0f} ms at the worker; loop lag p99 at most {row['lag_ms']:.0f} ms;"
        f" underruns: {handset['underruns']}, least lead {handset['least_lead_ms']:.0f} ms\n"
        f"  memory: {row['worker_empty_mb']:.0f} MB empty, {row['mb_per_call']:.2f} MB a call,"
        f" {row['growth_mb_per_min']:+.2f} MB a minute"
    ) + _warning(row)


def print_reactions(found: Reactions) -> None:
    """Print how fast the platform answered and fell silent."""
    for name, values in (
        ("answer to first agent audio", found.answer_to_first_audio_ms),
        ("talking over the agent to silence", found.barge_in_to_silence_ms),
    ):
        print(f"  {name:<34} p50 {values['p50']}, p95 {values['p95']} ms of {values['count']}")
    print(f"  not silenced at all: {found.talked_over}")
    quiet_s, wrong = found.quiet_s, found.false_interruptions
    print(f"  stopped by noise or echo in {quiet_s:.0f} s of silence: {wrong}")
    if found.is_client_the_bottleneck:
        print("  WARNING: the simulator was late itself: the machine is too busy for these figures")


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
    print("  silence in milliseconds at the handset:")
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
