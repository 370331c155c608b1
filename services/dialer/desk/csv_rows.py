"""PURE. Tables as text (CSV), read piece by piece as they arrive.

UTF-8, a byte order mark allowed; the header line decides between comma, semicolon and tab; values
may be quoted, with `""` for a quote within, and then run over several lines. What can't be cut into
rows with certainty is no table at all: half a list that was misread would be dialled.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_LINE_BYTES = 65_536
MAX_COLUMNS = 64
_MAX_LINES_A_ROW = 50
_DELIMITERS = ",;\t"


class BadTable(ValueError):
    """A text that is no table of ours.

    `line` counts from 1; `problem` says what is wrong there, and repeats nothing of the text.
    """

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(line, problem)
        self.line = line
        self.problem = problem

    def __str__(self) -> str:
        return f"line {self.line}: {self.problem}"


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row's values, the line on which it begins; the header is one too."""

    line: int
    values: list[str]


class CsvReader:
    """Cuts a text into rows as it comes. Rows without any value are left out.

    Holds one row at most: what `feed` is given it gives back as rows, but for the last line.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("strict")
        self._rest = ""
        self._line = 0
        self._open: list[str] = []
        self._fields: re.Pattern[str] | None = None
        self._delimiter = ","

    def feed(self, part: bytes) -> Iterator[CsvRow]:
        """Yield the rows that end within this part; to be read to the end before the next part.

        Raises:
            BadTable: not UTF-8, a line too long, or quotes that can't be.
        """
        return self._cut(part, is_end=False)

    def end(self) -> Iterator[CsvRow]:
        """Yield the last row, where it does not end in a line break. Raises as `feed`."""
        yield from self._cut(b"", is_end=True)
        if self._open:
            raise self._bad("its quotes never end")

    def _cut(self, part: bytes, *, is_end: bool) -> Iterator[CsvRow]:
        try:
            text = self._rest + self._decoder.decode(part, is_end)
        except UnicodeDecodeError as exc:
            raise BadTable(self._line + 1, "this or a later line is not UTF-8") from exc
        *lines, self._rest = text.split("\n")
        if is_end and self._rest:
            lines, self._rest = [*lines, self._rest], ""
        for line in lines:
            self._line += 1
            row = self._row(line.removesuffix("\r"))
            if row is not None:
                yield row
        if len(self._rest) > MAX_LINE_BYTES:
            raise BadTable(self._line + 1, f"is longer than {MAX_LINE_BYTES} bytes")

    def _row(self, line: str) -> CsvRow | None:
        """Return the row that ends with this line, if one does and it has any value."""
        if len(line) > MAX_LINE_BYTES // 4 and len(line.encode()) > MAX_LINE_BYTES:
            raise BadTable(self._line, f"is longer than {MAX_LINE_BYTES} bytes")
        if self._fields is None:
            if not line.strip():
                return None
            self._delimiter = max(_DELIMITERS, key=_unquoted(line).count)
            self._fields = _fields_of(self._delimiter)
        if not self._open and '"' not in line:
            values = line.split(self._delimiter)
        else:
            self._open.append(line)
            # Without a quote in it a line ends no quoted value: there is nothing new to look at.
            found = self._quoted() if '"' in line else None
            if found is None:
                self._check_open()
                return None
            values = found
        first = self._line - max(0, len(self._open) - 1)
        self._open = []
        return CsvRow(first, values) if any(values) else None

    def _quoted(self) -> list[str] | None:
        """Return the values of the lines in hand; None: a quoted value goes on after them."""
        assert self._fields is not None
        text, values, place = "\n".join(self._open), list[str](), 0
        while True:
            found = self._fields.match(text, place)
            if found is None:  # it begins with a quote that does not end as it should
                if _ENDLESS.fullmatch(text, place):
                    return None
                raise self._bad("has text after a closing quote")
            quoted, plain = found.groups()
            values.append(plain if quoted is None else quoted.replace('""', '"'))
            place = found.end()
            if place == len(text):
                return values
            place += 1
            if place == len(text):
                return [*values, ""]

    def _check_open(self) -> None:
        if len(self._open) > _MAX_LINES_A_ROW or sum(map(len, self._open)) > MAX_LINE_BYTES:
            raise self._bad("its quotes never end")

    def _bad(self, problem: str) -> BadTable:
        return BadTable(max(1, self._line - max(0, len(self._open) - 1)), problem)


_ENDLESS = re.compile(r'"(?:[^"]|"")*')


def _fields_of(delimiter: str) -> re.Pattern[str]:
    """Return what matches one value up to a delimiter or the end: quoted, or plain."""
    mark = re.escape(delimiter)
    return re.compile(rf'(?:"((?:[^"]|"")*)"|((?!")[^{mark}]*))(?={mark}|\Z)')


def _unquoted(line: str) -> str:
    return re.sub(r'"(?:[^"]|"")*"', "", line)
