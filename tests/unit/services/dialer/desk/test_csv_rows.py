"""Tables, cut into rows as they arrive."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dialer.desk.csv_rows import MAX_LINE_BYTES, BadTable, CsvReader, CsvRow


def read(text: bytes, sizes: list[int] | None = None) -> list[CsvRow]:
    reader, rows, place = CsvReader(), list[CsvRow](), 0
    for size in sizes or []:
        rows += reader.feed(text[place : place + size])
        place += size
    rows += reader.feed(text[place:])
    return rows + list(reader.end())


def values(text: str, sizes: list[int] | None = None) -> list[list[str]]:
    return [row.values for row in read(text.encode(), sizes)]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_the_header_tells_what_stands_between_values(mark: str, end: str, bom: str) -> None:
    lines = [["to", "a,b;c\td"], ["+91", "x"], ["", "y"]]
    text = bom + end.join(mark.join(f'"{v}"' if "," in v else v for v in line) for line in lines)
    assert values(text) == lines


def test_a_row_tells_its_line_and_may_run_over_several() -> None:
    text = b'to,note\r\n1,"a\r\nb"\n\n , \n,,\n2,"say ""no"""\n3,a"b'
    assert [(row.line, row.values) for row in read(text)] == [
        (1, ["to", "note"]),
        (2, ["1", "a\nb"]),
        (5, [" ", " "]),
        (7, ["2", 'say "no"']),
        (8, ["3", 'a"b']),
    ]


def test_a_table_of_one_column_needs_no_marks() -> None:
    assert values("to\n1\n2") == [["to"], ["1"], ["2"]]
    assert values("") == []


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        (b'to\n1\n"x\n', 3, "never end"),
        (b'to\n"x"y\n', 2, "closing quote"),
        (b'to\n"' + b"x\n" * 60, 2, "never end"),
        (b'to\n"' + b"x" * 40_000 + b"\n" + b"x" * 40_000, 2, "never end"),
        (b"to\n\xe9\n", 2, "UTF-8"),
        (b"to\n\xc3", 2, "UTF-8"),
        (b"to\n" + b"x" * (MAX_LINE_BYTES + 1) + b"\n", 2, "longer than"),
        (b"to\n" + b"x" * (MAX_LINE_BYTES + 1), 2, "longer than"),
        (b"to\n" + "é".encode() * (MAX_LINE_BYTES // 2 + 1) + b"\n", 2, "longer than"),
    ],
)
def test_what_is_no_table_is_told_by_its_line(text: bytes, line: int, word: str) -> None:
    with pytest.raises(BadTable, match=word) as caught:
        read(text)
    if word != "UTF-8":
        assert caught.value.line == line


def test_a_line_as_long_as_may_be_is_read() -> None:
    assert values("to\n" + "x" * MAX_LINE_BYTES) == [["to"], ["x" * MAX_LINE_BYTES]]


PLAIN = st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=200)
@given(
    st.lists(st.lists(PLAIN, min_size=3, max_size=3), max_size=8),
    st.sampled_from(",;\t"),
    st.lists(st.integers(min_value=0, max_value=9), max_size=40),
)
def test_what_the_library_writes_is_read_back_however_it_arrives(
    table: list[list[str]], mark: str, sizes: list[int]
) -> None:
    written = io.StringIO()
    csv.writer(written, delimiter=mark).writerows([["to", "b", "c"], *table])
    kept = [row for row in table if any(row)]
    assert values(written.getvalue(), sizes) == [["to", "b", "c"], *kept]


@settings(max_examples=300)
@given(
    st.binary(max_size=60) | st.text('",;\n\rab\ufeff', max_size=60).map(str.encode),
    st.lists(st.integers(min_value=0, max_value=9), max_size=20),
)
def test_any_bytes_are_rows_or_no_table_and_the_same_in_any_pieces(
    text: bytes, sizes: list[int]
) -> None:
    def outcome(cut: list[int]) -> object:
        try:
            return read(text, cut)
        except BadTable:
            return "no table"

    assert outcome(sizes) == outcome([])
