"""What the commands show: tables for people, JSON for programs, progress on long work.

Everything fits into 80 columns and is plain ASCII but for the user's own texts. Where the output is
no terminal there are no colours, no lines and no bars.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from services.dialer.cli.failure import one_line, printable

_WIDE = 100
_BAR_COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Its cells are never broken where `is_whole`, so that an id can be copied; it is shown on wide
    screens only where `is_extra`.
    """

    title: str
    is_whole: bool = False
    is_extra: bool = False
    is_number: bool = False


class Screen:
    """Where a command writes.

    Args:
        out: for what was asked for.
        err: for errors, warnings and progress.
        is_json: documents in the place of tables.
        width: columns; None for those of the terminal.
    """

    def __init__(
        self,
        out: IO[str],
        err: IO[str],
        *,
        is_json: bool = False,
        width: int | None = None,
        is_terminal: bool | None = None,
    ) -> None:
        self.is_json = is_json
        self._out = _console(out, width, is_terminal)
        self._err = _console(err, width, is_terminal)

    @property
    def is_terminal(self) -> bool:
        """Whether somebody looks on, so that progress can be redrawn."""
        return self._err.is_terminal and not self.is_json

    def say(self, text: str) -> None:
        """Write a line for people; programs get documents alone."""
        if not self.is_json:
            self._out.print(Text(_lines(text)), soft_wrap=True)

    def tell(self, text: str) -> None:
        """Write a line beside the output: progress, warnings, errors."""
        self._err.print(Text(_lines(text)), soft_wrap=True)

    def document(self, document: object, *, is_line: bool = False) -> None:
        """Write a document as JSON, in one line where more follow."""
        text = json.dumps(document, ensure_ascii=False, indent=None if is_line else 2, default=str)
        self.raw(text + "\n")

    def raw(self, text: str) -> None:
        """Write text as it is."""
        self._out.file.write(text)
        self._out.file.flush()

    def raw_bytes(self, part: bytes) -> None:
        """Write bytes as they are, where the output takes bytes."""
        binary = getattr(self._out.file, "buffer", None)
        if binary is None:
            self.raw(part.decode("utf-8", "replace"))
            return
        self._out.file.flush()
        binary.write(part)
        binary.flush()

    def facts(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Write names and values, one a line; those without a value are left out."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in pairs:
            if value is not None and value != "":
                grid.add_row(Text(name), Text(_cell(value)))
        self._print(grid)

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
        """Write a table; extra columns only where there is room for them."""
        is_plain = not self._out.is_terminal
        table = Table(
            box=None if is_plain else box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 2, 0, 0) if is_plain else (0, 1, 0, 0),
        )
        shown = [not column.is_extra or self._out.width >= _WIDE for column in columns]
        for column, is_shown in zip(columns, shown, strict=True):
            if is_shown:
                table.add_column(
                    column.title,
                    no_wrap=column.is_whole,
                    overflow="ignore" if column.is_whole else "fold",
                    min_width=len(column.title),
                    justify="right" if column.is_number else "left",
                )
        for row in rows:
            cells = zip(row, shown, strict=True)
            table.add_row(*(Text(_cell(value)) for value, is_shown in cells if is_shown))
        self._print(table)

    def _print(self, table: Table) -> None:
        """Write a table; without the blanks at its right where it goes to a file or a program."""
        if self._out.is_terminal:
            self._out.print(table)
            return
        with self._out.capture() as capture:
            self._out.print(table)
        self.raw("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))

    @contextmanager
    def transfer(self, title: str, total_bytes: int | None) -> Iterator[TransferBar]:
        """Show how far a file has come, as long as the context lasts."""
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(_BAR_COLUMNS),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=self._err,
            disable=not self.is_terminal,
            transient=True,
        )
        with progress:
            yield TransferBar(progress, title, total_bytes)

    @contextmanager
    def rows(self, title: str) -> Iterator[RowsBar]:
        """Show how many rows have come to their end, as long as the context lasts."""
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(_BAR_COLUMNS),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[more]}"),
            console=self._err,
            disable=not self.is_terminal,
        )
        with progress:
            yield RowsBar(progress, title)


class TransferBar:
    """A file on its way."""

    def __init__(self, progress: Progress, title: str, total_bytes: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(one_line(title), total=total_bytes)

    def advance(self, count_bytes: int) -> None:
        """Take note that so much more has gone."""
        self._progress.advance(self._task, count_bytes)


class RowsBar:
    """A campaign on its way."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(one_line(title), total=0, more="")

    def show(self, done: int, total: int, more: str) -> None:
        """Take note of the present state."""
        self._progress.update(self._task, completed=done, total=total, more=one_line(more))


def counted(counts: object) -> str:
    """Return counts by name as `answered 12, busy 3`, the largest first."""
    if not isinstance(counts, Mapping):
        return ""
    found = [(str(name), count) for name, count in counts.items() if _is_count(count)]
    found.sort(key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {count}" for name, count in found)


def moment(value: object) -> str:
    """Return an ISO time (UTC) without its fraction and zone: 2026-11-26 12:55:30."""
    text = value if isinstance(value, str) else ""
    return text[:19].replace("T", " ")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{one_line(name)}={_cell(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_cell(inner) for inner in value)
    return one_line(value)


def _lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def _console(file: IO[str], width: int | None, is_terminal: bool | None) -> Console:
    return Console(
        file=file,
        width=width,
        force_terminal=is_terminal,
        markup=False,
        highlight=False,
        emoji=False,
    )
