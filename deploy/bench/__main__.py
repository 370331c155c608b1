"""`python -m deploy.bench`: measure the media path; a table for people, JSON and plots to compare.

Each part can be had alone (--only), all of them take a while: how long is said first. Results go
to a folder as bench.json, part by part: what is not measured this time stays as it is there.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from deploy.bench.machine import describe, in_words
from deploy.bench.native import NoCompiler, program
from deploy.bench.suite import PARTS, Options, Part
from deploy.local import install
from deploy.local.console import StartFailed, StopAsked, complain, stop_signals

RESULTS = install.ROOT / "deploy" / "bench" / "results"
_OUT = install.ROOT / ".parley" / "bench" / "results"


def main() -> int:
    """Measure, print, write."""
    asked = _parse()
    options = Options(
        calls=tuple(asked.calls) if asked.calls else None,
        runs=asked.runs or (1 if asked.quick else 5),
        is_quick=asked.quick,
        speech=asked.speech,
    )
    parts = _wanted(asked.only, is_long=asked.long)
    document = _read(asked.out)
    with stop_signals():
        try:
            for number, part in enumerate(parts, start=1):
                left_s = sum(one.seconds(options) for one in parts[number - 1 :])
                print(f"\n[{number}/{len(parts)}] {part.title} ({left_s / 60:.0f} minutes left)")
                if (reason := _why_not(part)) is not None:
                    print(f"  left out: {reason}")
                    continue
                document[part.name] = part.measure(options)
                document["machine"] = describe()
                _write(asked.out, document)
        except (StartFailed, RuntimeError) as error:
            complain(str(error))
            return 1
        except StopAsked:
            return 130
    if "machine" in document:
        print(f"\n{in_words(document['machine'])}\nwritten to {asked.out / 'bench.json'}")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.bench", description=__doc__)
    names = [part.name for part in PARTS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="PART", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="one short run of each")
    parser.add_argument("--long", action="store_true", help="the ten minutes of `soak` too")
    parser.add_argument("--runs", type=int, help="of each load; the median counts")
    parser.add_argument("--calls", type=int, nargs="+", help="at once, for path and relay")
    parser.add_argument("--speech", type=Path, help="a folder of recorded speech, WAV")
    parser.add_argument("--out", type=Path, default=_OUT, help="folder of the results")
    return parser.parse_args()


def _wanted(only: list[str] | None, *, is_long: bool) -> list[Part]:
    if only:
        return [part for part in PARTS if part.name in only]
    return [part for part in PARTS if is_long or not part.is_long]


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


def _read(folder: Path) -> dict[str, object]:
    path = folder / "bench.json"
    document: dict[str, object] = json.loads(path.read_text()) if path.exists() else {}
    return document


def _write(folder: Path, document: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
