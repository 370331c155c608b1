"""`parley-dialer` inside a test: what it writes, and its exit status."""

from __future__ import annotations

import io
from dataclasses import dataclass

import httpx

from services.dialer.cli.__main__ import make_parser
from services.dialer.cli.client import DialerClient
from services.dialer.cli.failure import CommandFailed
from services.dialer.cli.screen import Screen
from services.dialer.cli.session import Session
from services.dialer.cli.settings import CliSettings

COLUMNS = 80
CliSettings.model_config["env_file"] = None  # this machine's user must not colour a test


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def widest(self) -> int:
        """Columns of the longest line of its output."""
        return max((len(line) for line in self.out.splitlines()), default=0)


async def run_command(
    *arguments: str,
    http: httpx.AsyncClient | None = None,
    settings: CliSettings | None = None,
    is_terminal: bool = False,
) -> Ran:
    """Run a command as `main` does, on a screen of 80 columns.

    Args:
        arguments: as at a shell.
        http: reaches the dialer; None: there is none.
        settings: those of a machine where nothing is set, if None.
        is_terminal: whether the output is one.
    """
    args = make_parser().parse_args(arguments)
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out, err, is_json=args.json, width=COLUMNS, is_terminal=is_terminal)
    nobody = httpx.AsyncClient(base_url="http://127.0.0.1:9", trust_env=False)
    async with nobody:
        session = Session(settings or CliSettings(), DialerClient(http or nobody), screen)
        try:
            status = int(await args.func(args, session))
        except CommandFailed as exc:
            screen.tell(f"Error: {exc}")
            status = int(exc.status)
    return Ran(status, out.getvalue(), err.getvalue())
