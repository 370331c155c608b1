"""`parley-agent COMMAND ...`, the same as `python -m services.agent.cli`.

A command is a function that adds its parser, which sets `func(args) -> exit status`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from services.agent.cli import chat, check, eval
from services.agent.cli.at_hand import load_at_hand

AddParser: TypeAlias = "Callable[[argparse._SubParsersAction[argparse.ArgumentParser]], None]"

COMMANDS: tuple[AddParser, ...] = (
    check.add_parser,
    lambda subparsers: chat.add_parser(subparsers, load_at_hand),
    lambda subparsers: eval.add_parser(subparsers, load_at_hand),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="parley-agent", description="Check agents' files and try them out."
    )
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add_parser in COMMANDS:
        add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 2 is a wrong use of it."""
    args = make_parser().parse_args(arguments)
    status: int = args.func(args)
    return status


if __name__ == "__main__":
    sys.exit(main())
