"""PURE. README's section of figures, from bench.json. What was not measured is not spoken of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from deploy.bench.report.bends import why_it_bends
from deploy.bench.report.fits import WAKE_UPS
from deploy.bench.report.lookup import (
    QUIET_DBFS,
    Document,
    design,
    path,
    relay,
    usual_cost,
    voice_activity_cost,
)

BEGIN = "<!-- figures: made by `python -m deploy.bench.readme`, don't edit by hand -->"
END = "<!-- end of figures -->"
_CALLS = (1, 20, 50, 100, 200)
_KINDS = ("whole", "usual", "floor")


def section(document: Document) -> str:
    """Return the text between the markers, with an empty line at each end."""
    parts = (_machine, _costs, _law, _relays, _limits, _reactions, _turns, _interruptions, _again)
    paragraphs = ["\n".join(part(document)) for part in parts]
    return "".join(f"\n{paragraph}\n" for paragraph in paragraphs if paragraph) + "\n"


def _machine(document: Document) -> Iterator[str]:
    machine = document["machine"]
    runs = document.get("path", [{"runs": 1}])[0]["runs"]
    word = "one run" if runs == 1 else f"medians of {runs} runs"
    others = [
        row.get("runs", runs)
        for part in ("floors", "usual", "relay")
        for row in document.get(part, ())
    ]
    if min(others, default=runs) < runs:
        word += f", of {min(others)} where others are measured"
    yield (
        f"Measured by `make bench` on {machine['cores']} cores of {machine['processor']}"
        f" ({machine['memory_gb']:.0f} GB, {machine['system']}, Python {machine['python']}), load"
        f" client included, {machine['measured_at']}; {word}. Trust"
        " the ratios: seconds are of this machine."
    )


def _costs(document: Document) -> Iterator[str]:
    rows = [(calls, row) for calls in _CALLS if (row := _whole(document, calls)) is not None]
    if not rows:
        return
    yield (
        "CPU-seconds a call-minute, a frame each way every 20 ms, the agent speaking all the time,"
        " no providers:"
    )
    yield ""
    yield "| calls at once | " + " | ".join(_title(calls, row) for calls, row in rows) + " |"
    yield "|---|" + "---|" * len(rows)
    yield _row("**gateway and worker**", (f"**{row['total']:.2f}**" for _, row in rows))
    yield _row("the gateway's part", (f"{row['gateway']:.2f}" for _, row in rows))
    yield _row("gateway and worker, quiet lines", (_quiet(document, calls) for calls, _ in rows))
    yield _row("two servers of the usual design", (_usual(document, calls) for calls, _ in rows))
    yield _row("two servers in C that do nothing else", (_floor(document, c) for c, _ in rows))
    yield _row("a multiple of those in C", (_multiple(document, c, row) for c, row in rows))
    yield _row(
        "memory a call, gateway and worker",
        (f"{row['gateway_mb_per_call'] + row['worker_mb_per_call']:.1f} MB" for _, row in rows),
    )
    yield _row(
        "frames late at the handset, 99th percentile",
        (f"{row['handset']['pacing_ms']['p99']:.1f} ms" for _, row in rows),
    )
    yield from _costs_explained(document)


def _whole(document: Document, calls: int) -> Mapping[str, Any] | None:
    return path(document, calls) or path(document, calls, workers=2)


def _title(calls: int, row: Mapping[str, Any]) -> str:
    workers = row["load"]["workers"]
    return str(calls) if workers == 1 else f"{calls}, {workers} workers"


def _quiet(document: Document, calls: int) -> str:
    row = path(document, calls, line_dbfs=QUIET_DBFS)
    return f"{row['total']:.2f}" if row else ""


def _usual(document: Document, calls: int) -> str:
    row = design(document, "usual", calls)
    if row is None:
        return ""
    return f"{row['total']:.2f}" if row["is_whole"] else "more than it can do"


def _floor(document: Document, calls: int) -> str:
    row = design(document, "relay+paced", calls)
    return f"{row['total']:.2f}" if row else ""


def _multiple(document: Document, calls: int, whole: Mapping[str, Any]) -> str:
    row = design(document, "relay+paced", calls)
    return f"{whole['total'] / row['total']:.1f}" if row else ""


def _one_hop(document: Document) -> str:
    """What one hop costs in C and in Python, by which machines can be told apart."""
    floor, lean = design(document, "paced", 100), design(document, "lean", 100)
    if floor is None or lean is None:
        return ""
    whole = path(document, 100)
    times = (
        f" (our whole path: {whole['total'] / floor['total']:.1f} times the former)"
        if whole
        else ""
    )
    return (
        f"One hop alone, a server that reads each frame and writes one, costs {floor['total']:.3f}"
        f" in C and {lean['total']:.2f} on `websockets`' server with care"
        f" ([how](deploy/bench/lean.py)), with 100 calls{times}: by these, figures of another"
        " machine can be scaled to this one."
    )


def _costs_explained(document: Document) -> Iterator[str]:
    yield ""
    words = [
        "The usual design is a FastAPI relay before a `websockets` server with their libraries'"
        " defaults, compression among them, JSON, base64 and mu-law in plain Python"
        " ([how](deploy/bench/vendor_shaped)), without voice activity detection."
    ]
    for calls in (100, 50):
        share, usual, whole = (
            voice_activity_cost(document, calls),
            usual_cost(document, calls),
            path(document, calls),
        )
        if share is not None:
            words.append(
                f"Ours hears every frame; with {calls} calls that is {share:.2f} of it, and nothing"
                " while a line is silent."
            )
        if usual and whole:
            words.append(
                f"The usual design costs {usual[0] / whole['total']:.1f} times ours"
                f" ({usual[1]} calls)."
            )
        if share is not None or usual:
            break
    if one_hop := _one_hop(document):
        words.append(one_hop)
    yield " ".join(words)
    yield ""
    yield "![What a call costs](deploy/bench/results/costs.svg)"


def _law(document: Document) -> Iterator[str]:
    law = document.get("scaling", {}).get("law")
    if not law:
        return
    yield (
        f"The law of all loads: {law['fixed']:.1f} CPU-seconds a minute for a gateway and a worker"
        f" however few call, {law['per_call']:.3f} for each call, {law['per_wake_up']:.2f} more for"
        f" each of the first {WAKE_UPS}, whose frames come alone and wake both (those of further"
        f" calls share their milliseconds), {law['per_worker']:.1f} for each further worker; the"
        f" worst load is {law['worst_share']:.0%} off it. So a call is the cheaper the more there"
        f" are; {why_it_bends(document)}."
    )
    yield ""
    yield "![Cost against calls and workers](deploy/bench/results/scaling.svg)"


def _relays(document: Document) -> Iterator[str]:
    row, none = relay(document, "gateway", 100), relay(document, "none", 100)
    if row is None or none is None:
        return
    yield (
        f"A frame is {row['delay_ms_p50']:.2f} ms on its way through the gateway with 100 calls"
        f" (median; 99th percentile {row['delay_ms_p99']:.1f} ms), of which"
        f" {none['delay_ms_p50']:.2f} and {none['delay_ms_p99']:.1f} ms are the measuring's own."
    )


def _limits(document: Document) -> Iterator[str]:
    soak = document.get("soak")
    if not soak:
        return
    handset = soak["handset"]
    yield (
        f"One worker on one core, {soak['calls']} calls, agents speaking half the time, for"
        f" {soak['seconds'] / 60:.0f} minutes: {handset['pacing_ms']['p99']:.1f} ms late at the"
        f" handset (99th percentile), {handset['underruns']} underruns,"
        f" {soak['worker_cpu_share']:.0%} of the core, {soak['mb_per_call']:.1f} MB a call, memory"
        f" {soak['growth_mb_per_min']:+.2f} MB a minute."
    )


def _reactions(document: Document) -> Iterator[str]:
    found = document.get("reactions")
    if not found:
        return
    yield "| at the handset | median | 95th percentile |"
    yield "|---|---|---|"
    for name, key in (
        ("answer to first agent audio", "answer_to_first_audio_ms"),
        ("talking over the agent until it is silent", "barge_in_to_silence_ms"),
    ):
        values = found[key]
        calls = f"{name}, {values['count']} calls"
        yield f"| {calls} | {values['p50']:.0f} ms | {values['p95']:.0f} ms |"
    yield ""
    stopped = found["false_interruptions"]
    yield (
        f"In {found['quiet_s']:.0f} s of lines with noise at -45 to -60 dBFS, or with the agent's"
        f" own echo at -25 dB, {stopped or 'nothing'} stopped the agent."
    )


def _turns(document: Document) -> Iterator[str]:
    found = document.get("turns")
    if not found:
        return
    yield "| Parley's own share of a turn, vendors' stand-ins | median | 95th percentile |"
    yield "|---|---|---|"
    for turns in found:
        values, calls = turns["parts_ms"]["overhead"], turns["calls"]
        name = f"{calls} call" if calls == 1 else f"{calls} calls at once"
        yield f"| {name} | {values['p50']:.0f} ms | {values['p95']:.0f} ms |"


def _interruptions(document: Document) -> Iterator[str]:
    found = document.get("interruptions")
    if not found:
        return
    real, other = found["interruptions"], found["other sounds"]
    silence = real["silence_ms"]
    yield (
        f"Of {real['cases']} interruptions {real['right']} took the turn, the agent silent after"
        f" {silence['p50']:.0f} ms (median; 95th percentile {silence['p95']:.0f} ms); after"
        f" {other['right']} of {other['cases']} other sounds (mm-hms, coughs, noises) it went on."
    )


def _again(document: Document) -> Iterator[str]:
    yield (
        "`make bench` measures all of it again in some 48 minutes (`make bench"
        " ARGS=--quick`: a quarter; `--only path` and the like: one part). Figures, versions and"
        " plots are in [deploy/bench/results](deploy/bench/results/bench.json)."
    )


def _row(name: str, cells: Iterator[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"
