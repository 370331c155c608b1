"""`python -m deploy.bench`: a table for people, .parley/bench.json for comparing."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from deploy.bench.frames import FrameCost, measure_frames
from deploy.bench.interruptions.judge import Verdict
from deploy.bench.interruptions.play import play_set
from deploy.bench.path import PathCost, bench_platform, measure_path
from deploy.bench.reactions import Reactions, measure_reactions
from deploy.bench.tables import TURNS_HEAD, print_interruptions, print_turns
from deploy.bench.turns import VendorTurns, measure_turns
from deploy.local import install
from deploy.local.console import StartFailed, StopAsked, complain, stop_signals

_VENDOR_CALLS = (1, 6)
"""At once."""


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m deploy.bench", description=__doc__)
    parser.add_argument("--calls", type=int, nargs="*", default=[1, 20], help="at once; none: skip")
    parser.add_argument(
        "--interruptions",
        type=int,
        default=56,
        help="calls that talk over the agent; 0: skip them and the set of interruptions",
    )
    parser.add_argument(
        "--turns", type=int, default=12, help="of each call with vendors' stand-ins; 0: skip"
    )
    parser.add_argument("--speech", type=Path, help="a folder of recorded speech for them, WAV")
    parser.add_argument("--out", type=Path, default=install.ROOT / ".parley" / "bench.json")
    options = parser.parse_args()
    frames: list[FrameCost] = []
    paths: list[PathCost] = []
    turns: list[VendorTurns] = []
    reactions: Reactions | None = None
    verdicts: dict[str, Verdict] = {}
    with stop_signals():
        try:
            print("One 20 ms frame, CPU microseconds:")
            for frame in measure_frames():
                frames.append(frame)
                print(f"  {frame.step:<32} {frame.cpu_us:>8.2f}")
            if options.calls:
                if sys.platform != "linux":
                    complain("the whole path is measured on Linux alone (it reads /proc)")
                    return 1
                _measure_paths(options.calls, paths)
            if options.turns:
                print(TURNS_HEAD)
                turns = measure_turns(_VENDOR_CALLS, options.turns)
                for found in turns:
                    print_turns(found)
            if options.interruptions:
                reactions = _measure_reactions(options.interruptions, options.speech)
                verdicts = play_set(options.speech)
                print_interruptions(verdicts)
        except (StartFailed, RuntimeError) as error:
            complain(str(error))
            return 1
        except StopAsked:
            return 130
    document = {
        **_document(frames, paths, reactions),
        "turns_with_vendors": [asdict(found) for found in turns],
        "interruptions": {kind: verdict.to_json() for kind, verdict in verdicts.items()},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nwritten to {options.out}")
    return 0


def _measure_paths(counts: list[int], paths: list[PathCost]) -> None:
    print(
        "\nThe whole path, CPU-seconds for each call-minute (idle: each minute; the recogniser's"
        " are part of the agent's):"
    )
    print(f"  {'calls':>5} {'gateway':>9} {'agent':>9} {'recogniser':>11} {'redis':>9}")
    for path in measure_path(counts):
        paths.append(path)
        print(
            f"  {path.calls or 'idle':>5} {path.gateway:>9.3f} {path.agent:>9.3f}"
            f" {path.agent_recogniser:>11.3f} {path.redis:>9.3f}"
        )


def _measure_reactions(interruptions: int, speech: Path | None) -> Reactions:
    print("\nReactions at the handset, milliseconds:")
    with (
        tempfile.TemporaryDirectory(prefix="parley-bench-") as folder,
        bench_platform(folder) as ports,
    ):
        found = measure_reactions(ports["HTTP_PORT"], interruptions=interruptions, speech=speech)
    for name, values in (
        ("answer to first agent audio", found.answer_to_first_audio_ms),
        ("talking over the agent to silence", found.barge_in_to_silence_ms),
    ):
        print(f"  {name:<34} p50 {values['p50']}, p95 {values['p95']} of {values['count']}")
    print(f"  not silenced at all: {found.talked_over}")
    print(
        f"  stopped by noise or echo in {found.quiet_s:.0f} s of silence:"
        f" {found.false_interruptions}"
    )
    if found.is_client_the_bottleneck:
        print("  WARNING: the simulator was late itself: the machine is too busy for these figures")
    return found


def _document(
    frames: list[FrameCost], paths: list[PathCost], reactions: Reactions | None
) -> dict[str, object]:
    return {
        "machine": {"python": platform.python_version(), "cores": os.cpu_count()},
        "frame_cpu_us": {frame.step: frame.cpu_us for frame in frames},
        "path_cpu_s_per_call_minute": [asdict(path) for path in paths],
        "reactions": asdict(reactions) if reactions else None,
    }


if __name__ == "__main__":
    sys.exit(main())
