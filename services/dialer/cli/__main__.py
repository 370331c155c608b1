"""`parley-dialer COMMAND ...`, the same as `python -m services.dialer.cli`.

A command is a coroutine `run(args, session) -> exit status`; each module adds its parsers.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence

from services.dialer.cli import call, calls, campaign, do_not_call, keys, setup
from services.dialer.cli.client import open_dialer
from services.dialer.cli.failure import CommandFailed, Exit
from services.dialer.cli.screen import Screen
from services.dialer.cli.session import Session, Subparsers
from services.dialer.cli.settings import CliSettings, read_settings

COMMANDS: tuple[Callable[[Subparsers], None], ...] = (
    call.add_parser,
    calls.add_parser,
    campaign.add_parser,
    do_not_call.add_parser,
    keys.add_parser,
    setup.add_parser,
)
_EPILOG = """\
exit status:
  0  done
  1  refused or failed, and nothing was done; the line on stderr says why
  2  wrong use, or something is not set
  3  nobody knows whether it was done: look before you ask again
  4  the answer is no: the number is on the do-not-call list, the campaign was cancelled
  130  interrupted
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="parley-dialer",
        description="Place calls, run campaigns and set a Vobiz account up.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add_parser in COMMANDS:
        add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    args = make_parser().parse_args(arguments)
    screen = Screen(sys.stdout, sys.stderr, is_json=args.json)
    try:
        return asyncio.run(_run(args, read_settings(), screen))
    except CommandFailed as exc:
        screen.tell(f"Error: {exc}")
        return exc.status
    except KeyboardInterrupt:
        screen.tell("Interrupted.")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        return Exit.DONE  # whoever read has read enough


async def _run(args: argparse.Namespace, settings: CliSettings, screen: Screen) -> int:
    async with open_dialer(settings, args.url) as dialer:
        return int(await args.func(args, Session(settings, dialer, screen)))


if __name__ == "__main__":
    sys.exit(main())
