"""`python -m deploy.bench`: measure the media path; a table for people, JSON and plots to compare.

Each part can be had alone (--only), all of them take a while: how long is said first. Results go
to a folder as bench.json, part by part: what is not measured this time stays as it is there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.bench.native import NoCompiler, program
from deploy.bench.parts import PARTS
from deploy.bench.readme import RESULTS
from deploy.bench.report.machine import describe, in_words
from deploy.bench.report.plots import draw_all
from deploy.bench.report.regression import compare, not_compared
from deploy.bench.suite import Options, Part
from deploy.local import install
from deploy.local.console import StartFailed, StopAsked, complain, stop_signals

_OUT = install.ROOT / ".parley" / "bench" / "results"
_CHECKED = {
    "instructions": None,
    "floors": (50, 100),
    "usual": (20, 50),
    "relay": (100,),
    "path": (50, 100),
}
"""Parts that --check measures, each with how many calls."""
_CHECK_RUNS = 2


def main() -> int:
    """Measure, print, write; or compare with what is kept."""
    asked = _parse()
    with stop_signals():
        try:
            return _check(asked.only) if asked.check else _measure(asked)
        except StopAsked:
            return 130


def _measure(asked: argparse.Namespace) -> int:
    options = Options(
        calls=tuple(asked.calls) if asked.calls else None,
        runs=asked.runs or (1 if asked.quick else 5),
        is_quick=asked.quick,
        speech=asked.speech,
    )
    document, wanted = _read(asked.out), _wanted(asked.only, asked.without)
    measured = 0
    for part, found in _results(dict.fromkeys(wanted, options)):
        document[part.name] = part.beside(document.get(part.name), found)
        if "machine" not in document or not part.is_by_version:
            document["machine"] = describe()
        _write(asked.out, document)
        measured += 1
    if measured:
        draw_all(document, asked.out)
        print(f"\n{in_words(describe())}\nwritten to {asked.out}")
    return 0 if measured == len(wanted) else 1


def _check(only: list[str] | None) -> int:
    """Measure little, and compare with what is kept."""
    kept, now = _read(RESULTS), {"machine": describe()}
    if not kept:
        complain(f"nothing to compare with: there is no {RESULTS / 'bench.json'}")
        return 1
    parts = {
        part: Options(_CHECKED[part.name], _CHECK_RUNS, is_quick=True)
        for part in PARTS
        if part.name in _CHECKED and (not only or part.name in only)
    }
    now |= {part.name: found for part, found in _results(parts)}
    found = compare(kept, now)
    print(f"\n{'':<48} {'kept':>12} {'now':>12}")
    print("\n".join(str(one) for one in found))
    for line in not_compared(kept, now):
        print(line)
    return 1 if not found or any(one.is_worse for one in found) else 0


def _results(parts: dict[Part, Options]) -> Iterator[tuple[Part, Any]]:
    """Measure part after part and say what is left."""
    left_s = sum(part.seconds(options) for part, options in parts.items())
    for number, (part, options) in enumerate(parts.items(), start=1):
        print(
            f"\n[{number}/{len(parts)}] {part.title} ({left_s / 60:.0f} minutes left)", flush=True
        )
        left_s, began_s = left_s - part.seconds(options), time.monotonic()
        if (reason := _why_not(part)) is not None:
            print(f"  left out: {reason}")
            continue
        try:
            found = part.measure(options)
        except (StartFailed, RuntimeError) as error:
            complain(f"{part.name} failed: {error}")
            continue
        print(f"  took {time.monotonic() - began_s:.0f} s")
        yield part, found


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.bench", description=__doc__)
    names = [part.name for part in PARTS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="PART", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="one short run of each")
    parser.add_argument("--without", nargs="+", choices=names, metavar="PART", default=[])
    parser.add_argument("--check", action="store_true", help="compare with what is kept")
    parser.add_argument("--runs", type=int, help="of each load; the median counts")
    parser.add_argument("--calls", type=int, nargs="+", help="at once, for path and relay")
    parser.add_argument("--speech", type=Path, help="a folder of recorded speech, WAV")
    parser.add_argument("--out", type=Path, default=_OUT, help="folder of the results")
    return parser.parse_args()


def _wanted(only: list[str] | None, without: list[str]) -> list[Part]:
    return [one for one in PARTS if one.name in (only or [one.name]) and one.name not in without]


def _why_not(part: Part) -> str | None:
    """Say why a part can't be measured here; None: it can."""
    if part.is_linux_only and sys.platform != "linux":
        return "it reads /proc, so on Linux alone"
    try:
        for name in part.programs:
            program(name)
    except NoCompiler as error:
        return str(error)
    return None


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "bench.json"
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return document


def _write(folder: Path, document: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
