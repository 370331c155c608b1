"""`parley-agent COMMAND ...`, the same as `python -m services.agent.cli`.

A command is a module with `add_parser(subparsers)`, which sets `func(args) -> exit status`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from services.agent.cli import check

COMMANDS: tuple[ModuleType, ...] = (check,)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="parley-agent", description="Check agents' files and try them out."
    )
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 2 is a wrong use of it."""
    args = make_parser().parse_args(arguments)
    status: int = args.func(args)
    return status


if __name__ == "__main__":
    sys.exit(main())
