"""Draws a call: both sides' waveforms on one time axis, and what happened when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from services.simulator.calls.call import Call
from services.simulator.calls.timeline import Moment
from services.simulator.results import report

_CALLER, _AGENT, _BAD, _INK, _PALE = "#2563a8", "#1b7f5c", "#c2410c", "#1f2933", "#d5dbe1"
_BINS_PER_S = 120
_CHARACTER_IN = 0.072  # a letter's width at 8.5 points


def draw_call(call: Call, path: Path, transcript: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write a PNG of a finished call, with the agent's words where the platform tells them."""
    mpl.rcParams["font.family"] = ["DejaVu Sans"]
    said, heard = call.line.handset.said(), call.line.handset.heard()
    length_s = max(len(said), len(heard), 8000) / 8000
    figure = Figure(figsize=(min(26.0, max(12.0, length_s * 0.55)), 5.6), dpi=110)
    top, bottom, strip = figure.subplots(
        3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 3, 1], "hspace": 0.16}
    )
    room = _Room(length_s, figure.get_figwidth())
    _waveform(top, said, _CALLER, "caller said")
    _waveform(bottom, heard, _AGENT, "caller heard")
    _speech(top, call, room)
    _answers(bottom, call, room)
    _words(bottom, transcript, room)
    _events(strip, call)
    strip.set_xlim(0, length_s)
    strip.set_xlabel("seconds since the answer webhook")
    top.set_title(_title(call), loc="left", fontsize=12, color=_INK, pad=22)
    figure.savefig(path, bbox_inches="tight", facecolor="white")


class _Room:
    """Keeps labels from covering each other.

    Args:
        length_s: what the axis spans.
        width_in: the figure's width; three quarters of it are axis.
    """

    def __init__(self, length_s: float, width_in: float) -> None:
        self.length_s = length_s
        self._s_per_character = length_s * _CHARACTER_IN / (width_in * 0.775)

    def level(self, taken: list[float], start_s: float, text: str) -> int:
        """Return the lowest of three levels that is free at a time, and take it."""
        end_s = start_s + len(text) * self._s_per_character
        free = (level for level in range(len(taken)) if taken[level] <= start_s)
        level = next(free, 0)
        taken[level] = end_s
        return level

    def cut(self, text: str, until_s: float, start_s: float) -> str:
        """Return as much of a text as fits between two times."""
        fits = int((until_s - start_s) / self._s_per_character) - 1
        if len(text) <= fits:
            return text
        return text[: fits - 1].rstrip() + "…" if fits > 3 else ""


def _title(call: Call) -> str:
    ending = call.ending
    how = f"{ending.name} by {ending.source}" if ending else "unfinished"
    facts = call.plan.facts
    who = f"{facts.direction.value} call {facts.call_uuid[:8]}"
    return "   ·   ".join((who, f"{call.duration_s} s", how))


def _waveform(axes: Axes, pcm: NDArray[np.int16], colour: str, name: str) -> None:
    low, high, times = _envelope(pcm)
    axes.fill_between(times, low, high, color=colour, linewidth=0)
    axes.axhline(0, color=colour, linewidth=0.6)
    axes.set_ylim(-1.35, 1.55)
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


def _speech(axes: Axes, call: Call, room: _Room) -> None:
    over = {b.at_ms: b for b in report.barge_ins(call.line.said_spans, call.line.agent_spans)}
    taken = [0.0, 0.0]
    for span in call.line.said_spans:
        colour = _BAD if report.ms(span.onset) in over else _CALLER
        start_s, end_s = span.onset / 8000, span.speech_end / 8000
        axes.axvspan(start_s, end_s, color=colour, alpha=0.08, linewidth=0)
        label = room.cut(span.label, room.length_s * 1.02, start_s)
        height = 1.06 + 0.24 * room.level(taken, start_s, label)
        axes.text(start_s, height, label, fontsize=8.5, color=colour, va="bottom")


def _answers(axes: Axes, call: Call, room: _Room) -> None:
    spans, said = call.line.agent_spans, call.line.said_spans
    for gap in report.gaps(spans):
        if gap.is_mid_sentence:
            end_s = (gap.at_ms + gap.duration_ms) / 1000
            axes.axvspan(gap.at_ms / 1000, end_s, color=_BAD, alpha=0.25)
    found = [(b.at_ms, b.latency_ms, _BAD, "silent after") for b in report.barge_ins(said, spans)]
    turns = report.turn_latencies(said, spans, call.line.handset)
    found += [(t.at_ms, t.latency_ms, _AGENT, "answer after") for t in turns]
    taken = [0.0, 0.0, 0.0]
    for at_ms, latency_ms, colour, word in sorted(found):
        if latency_ms is None:
            continue
        start_s, end_s = at_ms / 1000, (at_ms + latency_ms) / 1000
        label = f"{word} {latency_ms:.0f} ms"
        height = 1.06 + 0.24 * room.level(taken, start_s, label)
        axes.plot([start_s, end_s], [height] * 2, color=colour, lw=2, solid_capstyle="butt")
        axes.text(start_s, height + 0.04, label, fontsize=8.5, color=colour, va="bottom")


def _words(axes: Axes, transcript: Sequence[Mapping[str, Any]], room: _Room) -> None:
    """Write what the agent said below its sound, as far as it fits."""
    said = [
        (float(entry.get("at_ms") or 0) / 1000, str(entry.get("text") or ""))
        for entry in transcript
        if entry.get("who") == "agent"
    ]
    ends = [*(start_s for start_s, _ in said[1:]), room.length_s][: len(said)]
    for (start_s, text), end_s in zip(said, ends, strict=True):
        shown = room.cut(text, end_s, start_s)
        axes.text(start_s, -1.08, shown, fontsize=8, color=_INK, va="top", style="italic")


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
