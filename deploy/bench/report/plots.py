"""The results as pictures: SVG, beside bench.json."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from deploy.bench.report.fits import WAKE_UPS, Law
from deploy.bench.report.lookup import Document, design, path, relay, usual_cost
from deploy.bench.report.machine import in_words

_INK, _QUIET, _OURS, _USUAL, _FLOOR = "#1f2933", "#9aa5b1", "#0b7285", "#c92a2a", "#868e96"
_WORKERS = {1: _OURS, 2: "#e67700"}
_SIZE = (8.0, 4.4)
_CURVE = 60
_CALL_TICKS, _COST_TICKS = (1, 2, 5, 10, 20, 50, 100, 200), (0.2, 0.3, 0.4, 0.6, 1, 2, 4, 8)


def draw_all(document: Document, folder: Path) -> list[Path]:
    """Draw what the document holds; return what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (parts, draw) in _PICTURES.items():
        if all(part in document for part in parts):
            written.append(_drawn(document, folder / f"{name}.svg", draw))
    return written


def _drawn(document: Document, out: Path, draw: Callable[[Axes, Document], None]) -> Path:
    style: dict[Any, Any] = {"svg.hashsalt": "parley", "font.size": 9.0, "axes.edgecolor": _QUIET}
    with mpl.rc_context(style):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes, document)
        figure.text(0.01, -0.03, in_words(document["machine"]), fontsize=7, color=_QUIET)
        figure.savefig(out, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return out


def _costs(axes: Axes, document: Document) -> None:
    """A call-minute on the whole path beside floor and usual design, bar by bar."""
    bars: list[tuple[str, float, float, str]] = []
    for calls in (50, 100):
        if (floor := design(document, "relay+paced", calls)) is not None:
            bars.append((f"floor, C\n{calls} calls", floor["relay"], floor["server"], _FLOOR))
        if (whole := path(document, calls)) is not None:
            bars.append((f"Parley\n{calls} calls", whole["gateway"], whole["worker"], _OURS))
        if (row := design(document, "usual", calls)) is not None and row["is_whole"]:
            bars.append((f"usual design\n{calls} calls", row["relay"], row["server"], _USUAL))
    if not any(color == _USUAL for *_, color in bars) and (most := usual_cost(document, 100)):
        row = design(document, "usual", most[1]) or {}
        label = f"usual design\n{most[1]} calls"
        bars.append((label, row["relay"], row["server"], _USUAL))
    for number, (_, front, back, color) in enumerate(bars):
        axes.bar(number, back, color=color, width=0.6)
        axes.bar(number, front, bottom=back, color=color, alpha=0.55, width=0.6)
        axes.annotate(
            f"{front + back:.2f}", (number, front + back), ha="center", va="bottom", color=_INK
        )
    axes.set_xticks(range(len(bars)), [bar[0] for bar in bars])
    axes.set_ylabel("CPU-seconds a call-minute")
    axes.set_title("What a call costs: agent's server (dark), relay before it (light)", loc="left")


def _scaling(axes: Axes, document: Document) -> None:
    """Cost for each call against their number, measured and by the law."""
    law, points = Law(**document["scaling"]["law"]), document["scaling"]["points"]
    for workers, color in _WORKERS.items():
        rows = [row for row in points if row["load"]["workers"] == workers]
        if not rows:
            continue
        calls = [row["load"]["calls"] for row in rows]
        name = f"{workers} worker{'s' if workers > 1 else ''}"
        axes.plot(calls, [row["total"] for row in rows], "o", color=color, label=name)
        steps = np.unique(np.geomspace(min(calls), max(calls), _CURVE).round().astype(int))
        costs = [law.cost_of(int(n), workers) for n in steps]
        axes.plot(steps, costs, "-", color=color, alpha=0.5, lw=1)
    if law.bends_at is not None:
        axes.axvline(law.bends_at, color=_QUIET, lw=1, ls=":")
        axes.annotate(f"bends at {law.bends_at} ", (law.bends_at, axes.get_ylim()[1]), ha="right")
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis, ticks in ((axes.xaxis, _CALL_TICKS), (axes.yaxis, _COST_TICKS)):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    axes.set_xlabel("calls at once")
    axes.set_ylabel("CPU-seconds a call-minute, gateway and workers")
    title = (
        f"{law.fixed:.1f} a minute, {law.per_call:.3f} for each call,"
        f" {law.per_wake_up:.2f} more for each of the first {WAKE_UPS}"
    )
    axes.set_title(title, loc="left")
    axes.legend(frameon=False)


def _relays(axes: Axes, document: Document) -> None:
    """How long relays keep a frame: median and 99th percentile."""
    names = ("none", "floor", "splice", "gateway", "usual")
    rows = [(name, row) for name in names if (row := relay(document, name, 100)) is not None]
    for number, (_, row) in enumerate(rows):
        axes.plot([number] * 2, [row["delay_ms_p50"], row["delay_ms_p99"]], color=_QUIET, lw=2)
        axes.plot(number, row["delay_ms_p50"], "o", color=_OURS)
        axes.plot(number, row["delay_ms_p99"], "_", color=_USUAL, ms=14, mew=2)
        axes.annotate(
            f" {row['delay_ms_p50']:.2f} / {row['delay_ms_p99']:.1f}", (number, row["delay_ms_p99"])
        )
    axes.set_xticks(range(len(rows)), [name for name, _ in rows])
    axes.set_yscale("log")
    axes.set_ylabel("ms")
    axes.set_title("A frame's way through a relay, 100 calls: median / 99th percentile", loc="left")


def _memory(axes: Axes, document: Document) -> None:
    """The worker's memory over the soak."""
    soak: dict[str, Any] = document["soak"]
    held = soak["worker_mb"]
    minutes = [number * soak["seconds"] / 60 / max(1, len(held) - 1) for number in range(len(held))]
    axes.plot(minutes, held, color=_OURS)
    axes.axhline(soak["worker_empty_mb"], color=_QUIET, lw=1, ls=":")
    axes.annotate("no calls", (0, soak["worker_empty_mb"]), va="bottom", color=_QUIET)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("minutes")
    axes.set_ylabel("MB")
    axes.set_title(
        f"A worker with {soak['calls']} calls: {soak['mb_per_call']:.2f} MB each,"
        f" {soak['growth_mb_per_min']:+.2f} MB a minute",
        loc="left",
    )


_PICTURES: dict[str, tuple[tuple[str, ...], Callable[[Axes, Document], None]]] = {
    "costs": (("path", "floors", "usual"), _costs),
    "scaling": (("scaling",), _scaling),
    "relays": (("relay",), _relays),
    "memory": (("soak",), _memory),
}
