"""The parts of the bench, in the order they are measured in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from deploy.bench.conversation import measure_conversations
from deploy.bench.floors import FLOORS, measure_floors, measure_usual
from deploy.bench.frames import measure_frames
from deploy.bench.instructions import NoCounter, count_set
from deploy.bench.interruptions.play import play_set
from deploy.bench.native import NoCompiler
from deploy.bench.path import Load, measure_path
from deploy.bench.reactions import measure_reactions
from deploy.bench.relay import RELAYS, measure_relay
from deploy.bench.report import tables
from deploy.bench.report.bends import IN_TIME_MS, why_it_bends
from deploy.bench.report.fits import Point, fit_law
from deploy.bench.report.lookup import QUIET_DBFS
from deploy.bench.report.machine import describe
from deploy.bench.rig.cloud import OPENED_EACH_S
from deploy.bench.rig.local_platform import bench_platform
from deploy.bench.soak import measure_soak
from deploy.bench.suite import Options, Part, Row, run_rows
from deploy.bench.turns.measure import measure_turns

_PATH = (
    *(Load(1), Load(20), Load(50), Load(50, line_dbfs=QUIET_DBFS)),
    *(Load(100), Load(100, line_dbfs=QUIET_DBFS), Load(200, workers=2)),
)
_SCALING = (
    *(Load(calls) for calls in (1, 10, 25, 50, 100, 150, 200)),
    *(Load(calls, workers=2) for calls in (100, 200, 250)),
)
_MOST_OF_ONE = 150
_QUICK_SCALING = (Load(1), Load(20), Load(50), Load(100), Load(100, workers=2))
_FLOORS = (
    *((name, calls) for name in ("paced", "lean") for calls in (20, 100)),
    *(("relay+paced", calls) for calls in (50, 100)),
)
"""One hop where others publish theirs; two where the path is compared."""
_FLOOR_S, _LOAD_S, _USUAL_S = 1.7, 3.4, 6.0
"""Around each measured time, to start, settle and hang up; calls are opened besides."""
_START_S = 9.0
_VENDOR_CALLS = (1, 6)
_INTERRUPTIONS = 56
_ENOUGH_FRAMES_OUT = 49.0


def _frames(options: Options) -> dict[str, Row]:
    print(tables.FRAMES_HEAD)
    found: dict[str, Row] = {}
    for frame in measure_frames():
        found[frame.step] = {"cpu_us": frame.cpu_us}
        print(tables.frame_row(frame.step, found[frame.step]), flush=True)
    return found


def _instructions(options: Options) -> dict[str, dict[str, object]]:
    try:
        found = count_set()
    except (NoCounter, NoCompiler) as error:
        print(f"  left out: {error}")
        return {}
    tables.print_instructions(found)
    return found


def _floors(options: Options) -> list[Row]:
    print(tables.DESIGN_HEAD)
    floors = _which_floors(options)
    return run_rows(
        options.runs,
        lambda: measure_floors(floors, options.window_s),
        tables.design_row,
        "total",
    )


def _which_floors(options: Options) -> Sequence[tuple[str, int]]:
    if options.calls is None:
        return _FLOORS
    return [(name, calls) for calls in options.calls for name in FLOORS]


def _usual(options: Options) -> list[Row]:
    print(tables.DESIGN_HEAD)
    counts, seconds = options.calls_or(20, 50, 100), _sentences_s(options)
    return run_rows(
        options.runs, lambda: measure_usual(counts, seconds), tables.design_row, "total"
    )


def _sentences_s(options: Options) -> float:
    """Whole sentences of the usual design's agent, whose work comes at each one's beginning."""
    return 5.0 if options.is_quick else 10.0


def _relay(options: Options) -> list[Row]:
    print(tables.RELAY_HEAD)
    counts = options.calls_or(100)
    return run_rows(
        options.runs,
        lambda: measure_relay(counts, options.window_s, RELAYS),
        tables.relay_row,
        "cpu_s",
    )


def _path_loads(options: Options) -> tuple[Load, ...]:
    if options.calls is None:
        return _PATH
    return tuple(
        Load(calls, workers=2 if calls > _MOST_OF_ONE else 1) for calls in sorted(options.calls)
    )


def _path(options: Options) -> list[Row]:
    print(tables.PATH_HEAD)
    loads = _path_loads(options)
    return run_rows(
        options.runs, lambda: measure_path(loads, options.window_s), tables.path_row, "total"
    )


def _scaling_loads(options: Options) -> tuple[Load, ...]:
    return _QUICK_SCALING if options.is_quick else _SCALING


def _scaling(options: Options) -> dict[str, Any]:
    print(tables.PATH_HEAD)
    loads = _scaling_loads(options)
    rows = run_rows(1, lambda: measure_path(loads, options.window_s), tables.path_row, "total")
    try:
        law = fit_law([_point(row) for row in rows])
    except ValueError as error:
        raise RuntimeError(f"too little of it was served in time: {error}") from error
    taken = {row["load"]["calls"] for row in rows if row["load"]["workers"] == 1}
    not_taken = [one.calls for one in loads if one.workers == 1 and one.calls not in taken]
    found: dict[str, Any] = {"law": asdict(law), "points": rows, "not_taken": not_taken}
    print(tables.law_line(found["law"]))
    print(f"  {why_it_bends({'scaling': found, 'machine': describe()})}")
    return found


def _point(row: Row) -> Point:
    load, is_late = row["load"], row["handset"]["pacing_ms"]["p99"] > IN_TIME_MS
    is_whole = row["frames_out"] > _ENOUGH_FRAMES_OUT and not is_late
    return Point(load["calls"], load["workers"], row["total"] * load["calls"], is_whole)


def _reactions(options: Options) -> Row:
    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as folder,
        bench_platform(folder) as ports,
    ):
        found = measure_reactions(
            ports["HTTP_PORT"],
            interruptions=12 if options.is_quick else _INTERRUPTIONS,
            speech=options.speech,
        )
    tables.print_reactions(found)
    return asdict(found)


def _turns(options: Options) -> list[Row]:
    print(tables.TURNS_HEAD)
    found = measure_turns(_VENDOR_CALLS, 4 if options.is_quick else 8)
    for turns in found:
        tables.print_turns(turns)
    return [{**asdict(replace(turns, costs=()))} for turns in found]


def _interruptions(options: Options) -> dict[str, Any]:
    verdicts = play_set(options.speech)
    tables.print_interruptions(verdicts)
    return {kind: verdict.to_json() for kind, verdict in verdicts.items()}


def _conversation(options: Options) -> list[Row]:
    print(tables.CONVERSATION_HEAD)
    rows = []
    for cost in measure_conversations(options.calls_or(20)):
        rows.append(asdict(cost))
        print(tables.conversation_row(rows[-1]), flush=True)
    return rows


def _soak(options: Options) -> Row:
    calls, seconds = options.calls_or(120)[0], 60.0 if options.is_quick else 600.0
    row = asdict(measure_soak(calls, seconds))
    print(tables.soak_lines(row))
    return row


def _loads_s(calls: Iterable[float], options: Options, around_s: float = _LOAD_S) -> float:
    """How long it takes to measure so many calls at once, one number after the other."""
    return sum(options.window_s + around_s + OPENED_EACH_S * number for number in calls)


PARTS: tuple[Part, ...] = (
    Part(
        "frames",
        "What each step of a 20 ms frame costs",
        _frames,
        lambda _: 12,
        is_linux_only=False,
    ),
    Part(
        "instructions",
        "Instructions of each step, by valgrind",
        _instructions,
        lambda _: 40,
        is_by_version=True,
    ),
    Part(
        "floors",
        "Floors: servers in C",
        _floors,
        lambda o: o.runs * _loads_s((0,) * len(_which_floors(o)), o, _FLOOR_S),
        ("load", "paced", "relay"),
    ),
    Part(
        "usual",
        "The usual design: two Python servers",
        _usual,
        lambda o: (
            o.runs * _loads_s(o.calls_or(20, 50, 100), o, _USUAL_S + _sentences_s(o) - o.window_s)
        ),
        ("load",),
    ),
    Part(
        "relay",
        "Relays",
        _relay,
        lambda o: len(RELAYS) * o.runs * _loads_s((n / 2 for n in o.calls_or(100)), o),
        ("load", "paced", "relay"),
    ),
    Part(
        "path",
        "The whole path: gateway and workers",
        _path,
        lambda o: o.runs * (_START_S + _loads_s((load.calls for load in _path_loads(o)), o)),
        ("load",),
    ),
    Part(
        "scaling",
        "Cost against calls and workers",
        _scaling,
        lambda o: _START_S + _loads_s((load.calls for load in _scaling_loads(o)), o),
        ("load",),
    ),
    Part("reactions", "Reactions at the handset", _reactions, lambda o: 90 if o.is_quick else 160),
    Part("turns", "Turns with vendors' stand-ins", _turns, lambda o: 70 if o.is_quick else 110),
    Part(
        "interruptions",
        "Interruptions, and sounds that are none",
        _interruptions,
        lambda _: 20,
        is_linux_only=False,
    ),
    Part("conversation", "Conversations with everything offline", _conversation, lambda _: 120),
    Part(
        "soak",
        "One worker on one core",
        _soak,
        lambda o: 115 if o.is_quick else 655,
        ("load",),
    ),
)
