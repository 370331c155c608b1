"""Files that are sent as they are read, with a bar where somebody looks on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from services.dialer.cli.failure import CommandFailed, Exit
from services.dialer.cli.screen import Column
from services.dialer.cli.session import Session

_PART_BYTES = 64 * 1024
_STDIN = "-"
_MAX_BAD_ROWS = 20
_COLUMNS = (Column("line", is_number=True), Column("number"), Column("problem"))


@dataclass(frozen=True, slots=True)
class Source:
    """An open file; the size is None where nobody knows."""

    file: IO[bytes]
    name: str
    size_bytes: int | None


async def send_file(
    session: Session, path: str, source: Source, params: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Send a file, and return what the dialer says. Never more than a part of it is held.

    Raises:
        CommandFailed: as of `DialerClient.upload`.
    """
    with session.screen.transfer(source.name, source.size_bytes) as bar:

        async def parts() -> AsyncIterator[bytes]:
            while part := await asyncio.to_thread(source.file.read, _PART_BYTES):
                yield part
                bar.advance(len(part))

        return await session.dialer.upload(path, parts(), params)


@contextmanager
def open_for_reading(name: str) -> Iterator[Source]:
    """Open a file, or stdin for `-`.

    Raises:
        CommandFailed: it can't be read.
    """
    if name == _STDIN:
        yield Source(sys.stdin.buffer, "stdin", None)
        return
    path = Path(name)
    try:
        file = path.open("rb")
        size_bytes = path.stat().st_size or None
    except OSError as exc:
        raise CommandFailed(Exit.MISUSED, f"{name} can't be read: {exc.strerror}.") from exc
    with file:
        yield Source(file, path.name, size_bytes)


@contextmanager
def open_for_writing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file anew.

    Raises:
        CommandFailed: it can't be written.
    """
    try:
        file = path.open("wb")
    except OSError as exc:
        raise CommandFailed(Exit.MISUSED, f"{path} can't be written: {exc.strerror}.") from exc
    with file:
        yield file


def tell_bad_rows(session: Session, answer: Mapping[str, Any]) -> None:
    """Show the lines that could not be used, the first of them."""
    bad_rows = answer.get("bad_rows")
    if session.screen.is_json or not isinstance(bad_rows, list) or not bad_rows:
        return
    shown = [row for row in bad_rows if isinstance(row, dict)][:_MAX_BAD_ROWS]
    session.screen.table(
        _COLUMNS, ((row.get("line"), row.get("number"), row.get("problem")) for row in shown)
    )
    more = len(bad_rows) - len(shown)
    if more > 0:
        session.screen.say(f"... and {more} more")
