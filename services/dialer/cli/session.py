"""What every command is given."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from services.dialer.cli.client import DialerClient
from services.dialer.cli.failure import CommandFailed, Exit
from services.dialer.cli.screen import Screen
from services.dialer.cli.settings import CliSettings

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


@dataclass(frozen=True, slots=True)
class Session:
    """The settings, the dialer, and where to write."""

    settings: CliSettings
    dialer: DialerClient
    screen: Screen


Command: TypeAlias = Callable[[argparse.Namespace, Session], Awaitable[int]]


def command(
    subparsers: Subparsers, name: str, run: Command, help_text: str
) -> argparse.ArgumentParser:
    """Add a command that `run` does, with the options that all have."""
    parser = subparsers.add_parser(name, help=help_text, description=_sentence(help_text))
    parser.add_argument("--json", action="store_true", help="write JSON, for programs")
    parser.add_argument("--url", help="where the dialer is (default: DIALER_URL, or this machine)")
    parser.set_defaults(func=run)
    return parser


def group(subparsers: Subparsers, name: str, help_text: str) -> Subparsers:
    """Add a command that has commands of its own."""
    parser = subparsers.add_parser(name, help=help_text, description=_sentence(help_text))
    return parser.add_subparsers(title="commands", required=True, metavar="COMMAND")


def add_paging(parser: argparse.ArgumentParser, *, limit: int = 20) -> None:
    """Add the options of every list."""
    parser.add_argument("--limit", type=whole(1, 1_000_000), default=limit, help="most entries")
    parser.add_argument("--cursor", help="go on where an earlier list ended")


def whole(least: int, most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers within bounds."""

    def read(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be {least} to {most}")
        return value

    read.__name__ = "whole number"
    return read


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Return KEY=VALUE texts as a mapping.

    Raises:
        CommandFailed: one has no key or no sign of equality.
    """
    found = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise CommandFailed(Exit.MISUSED, f"{option} wants KEY=VALUE, not {text!r}.")
        found[key] = value
    return found


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
