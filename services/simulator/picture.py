"""Draws a call: both sides' waveforms on one time axis, and what happened when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from services.simulator import report
from services.simulator.call import Call
from services.simulator.timeline import Moment

_CALLER, _AGENT, _BAD, _INK, _PALE = "#2563a8", "#1b7f5c", "#c2410c", "#1f2933", "#d5dbe1"
_BINS_PER_S = 120
_MAX_LABEL_CHARS = 44


def draw_call(call: Call, path: Path) -> None:
    """Write a PNG of a finished call."""
    mpl.rcParams["font.family"] = ["DejaVu Sans"]
    said, heard = call.line.handset.said(), call.line.handset.heard()
    length_s = max(len(said), len(heard), 8000) / 8000
    figure = Figure(figsize=(min(26.0, max(12.0, length_s * 0.55)), 5.4), dpi=110)
    top, bottom, strip = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 3, 1], "hspace": 0.12}
    )
    _waveform(top, said, _CALLER, "caller said")
    _waveform(bottom, heard, _AGENT, "caller heard")
    _speech(top, call)
    _answers(bottom, call)
    _events(strip, call)
    strip.set_xlim(0, length_s)
    strip.set_xlabel("seconds since the answer webhook")
    figure.suptitle(_title(call), x=0.065, y=0.965, ha="left", fontsize=12, color=_INK)
    figure.savefig(path, bbox_inches="tight", facecolor="white")


def _title(call: Call) -> str:
    ending = call.ending
    how = f"{ending.name} by {ending.source}" if ending else "unfinished"
    facts = call.plan.facts
    return (
        f"{facts.direction.value} call {facts.call_uuid[:8]}   ·   {call.duration_s} s   ·   {how}"
    )


def _waveform(axes: Axes, pcm: NDArray[np.int16], colour: str, name: str) -> None:
    low, high, times = _envelope(pcm)
    axes.fill_between(times, low, high, color=colour, linewidth=0)
    axes.axhline(0, color=colour, linewidth=0.6)
    axes.set_ylim(-1.3, 1.3)
    axes.set_yticks([])
    axes.set_ylabel(name, color=colour, fontsize=10)
    _strip_frame(axes)


def _envelope(
    pcm: NDArray[np.int16],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return lowest, highest and time of each bin, scaled so that the loudest reaches 1."""
    size = 8000 // _BINS_PER_S
    bins = max(1, len(pcm) // size)
    blocks = (
        np.resize(pcm, bins * size).reshape(bins, size) / 32768 if len(pcm) else np.zeros((1, size))
    )
    peak = max(0.02, float(np.abs(blocks).max()))
    times = (np.arange(bins) + 0.5) * size / 8000
    return blocks.min(axis=1) / peak, blocks.max(axis=1) / peak, times


def _strip_frame(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_PALE)
    axes.tick_params(colors=_INK, labelsize=9, length=3, color=_PALE)
    axes.grid(axis="x", color=_PALE, linewidth=0.5, alpha=0.7)
    axes.set_axisbelow(True)


def _speech(axes: Axes, call: Call) -> None:
    over = {b.at_ms: b for b in report.barge_ins(call.line.said_spans, call.line.agent_spans)}
    for span in call.line.said_spans:
        barge_in = over.get(report.ms(span.onset))
        colour = _BAD if barge_in else _CALLER
        start_s, end_s = span.onset / 8000, span.speech_end / 8000
        axes.axvspan(start_s, end_s, color=colour, alpha=0.08, linewidth=0)
        label = span.label if len(span.label) <= _MAX_LABEL_CHARS else span.label[:43] + "…"
        axes.text(start_s, 1.08, label, fontsize=8.5, color=colour, va="bottom")


def _answers(axes: Axes, call: Call) -> None:
    spans, said = call.line.agent_spans, call.line.said_spans
    for gap in report.gaps(spans):
        if gap.is_mid_sentence:
            axes.axvspan(
                gap.at_ms / 1000, (gap.at_ms + gap.duration_ms) / 1000, color=_BAD, alpha=0.25
            )
    for barge_in in report.barge_ins(said, spans):
        if barge_in.latency_ms is not None:
            _bracket(axes, barge_in.at_ms, barge_in.latency_ms, _BAD, "silent after")
    for turn in report.turn_latencies(said, spans, call.line.handset):
        if turn.latency_ms is not None:
            _bracket(axes, turn.at_ms, turn.latency_ms, _AGENT, "answer after")


def _bracket(axes: Axes, at_ms: float, length_ms: float, colour: str, word: str) -> None:
    start_s, end_s = at_ms / 1000, (at_ms + length_ms) / 1000
    axes.plot([start_s, end_s], [1.06, 1.06], color=colour, linewidth=2, solid_capstyle="butt")
    axes.text(start_s, 1.12, f"{word} {length_ms:.0f} ms", fontsize=8.5, color=colour, va="bottom")


_MARKS: dict[Moment, tuple[str, str, str]] = {
    Moment.SOCKET_OPEN: ("socket open", "^", _INK),
    Moment.SOCKET_CLOSED: ("socket closed", "v", _INK),
    Moment.CHECKPOINT: ("checkpoint set", "|", _AGENT),
    Moment.PLAYED: ("checkpoint played", "o", _AGENT),
    Moment.CLEAR: ("clearAudio", "X", _BAD),
    Moment.DTMF: ("key", "s", _CALLER),
    Moment.ENDED: ("end", "P", _INK),
}


def _events(axes: Axes, call: Call) -> None:
    for height, (moment, (name, marker, colour)) in enumerate(_MARKS.items()):
        times = [event.at_s for event in call.timeline.of(moment)]
        if times:
            style: dict[str, Any] = {"linestyle": "none", "marker": marker, "color": colour}
            axes.plot(times, [-height % 3] * len(times), label=name, markersize=6, **style)
    axes.set_ylim(-0.8, 2.8)
    axes.set_yticks([])
    axes.set_ylabel("events", color=_INK, fontsize=10)
    _strip_frame(axes)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.75), ncols=7, frameon=False, fontsize=9
        )
