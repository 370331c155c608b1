"""`parley-logs CALL_ID`: one call's story in order, out of the logs of all services.

Of what runs on this machine, local processes or containers of Compose, unless files are given, or
`-` for what is piped in: `kubectl logs ... | parley-logs CALL_ID -`. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size

from deploy.local import install
from deploy.logs.lines import Line, NoSuchCall, find_call, newest_call
from deploy.logs.order import order_lines
from deploy.logs.sources import NoLogs, read_found, read_given
from deploy.logs.story import Look, tell_story

_NARROWEST, _WIDEST = 60, 120


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit status: 1 where nothing is found."""
    parser = argparse.ArgumentParser(prog="parley-logs", description=__doc__)
    parser.add_argument("call_id", nargs="?", help="its id, Vobiz's, or the beginning of one")
    parser.add_argument("files", nargs="*", help="logs to look into; -: standard input")
    parser.add_argument("--last", action="store_true", help="the newest call")
    parser.add_argument("--json", action="store_true", help="the lines as they were written")
    asked = parser.parse_args(arguments)
    files = [*([asked.call_id] if asked.last and asked.call_id else []), *asked.files]
    if asked.call_id is None and not asked.last:
        parser.error("name a call, or --last")
    try:
        _tell(None if asked.last else asked.call_id, files, is_json=asked.json)
    except (NoLogs, NoSuchCall) as exc:
        print(f"parley-logs: {exc}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # who reads has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _tell(wanted: str | None, files: Sequence[str], *, is_json: bool) -> None:
    lines = read_given(files) if files else read_found(_directory())
    call_id = newest_call(lines) if wanted is None else find_call(lines, wanted)
    ordered = order_lines([line for line in lines if line.call_id == call_id])
    for text in _raw(ordered.lines) if is_json else tell_story(ordered, _look()):
        print(text)
    sys.stdout.flush()


def _raw(lines: Sequence[Line]) -> list[str]:
    return [line.raw for line in lines]


def _directory() -> Path:
    return Path(os.environ.get("PARLEY_STATE_DIR") or install.ROOT / ".parley").absolute()


def _look() -> Look:
    is_terminal = sys.stdout.isatty()
    columns = get_terminal_size().columns if is_terminal else 80
    has_colours = is_terminal and not os.environ.get("NO_COLOR")
    return Look(min(max(columns, _NARROWEST), _WIDEST), has_colours)


if __name__ == "__main__":
    sys.exit(main())
