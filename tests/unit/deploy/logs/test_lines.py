from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.logs.lines import Line, NoSuchCall, find_call, newest_call, read_line, read_lines


def written(call_id: str = "c1", at: str = "2026-01-01T00:00:01.5Z", **more: Any) -> str:
    line = {"call_id": call_id, "timestamp": at, "event": "call_answered", "service": "gateway"}
    return json.dumps(line | more)


def read(text: str, source: str = "log") -> Line:
    line = read_line(text, source)
    assert line is not None
    return line


def test_a_line_is_read_with_its_time_and_who_wrote_it() -> None:
    line = read(written(level="warning"))
    assert (line.at_s, line.source, line.service) == (1767225601.5, "log", "gateway")
    assert (line.call_id, line.event, line.level) == ("c1", "call_answered", "warning")
    assert read(written(), source="").source == "gateway"


@pytest.mark.parametrize(
    ("prefix", "source"),
    [
        ("parley-agent-2  | ", "parley-agent-2"),
        ("\x1b[36mgateway-1 |\x1b[0m ", "gateway-1"),
        ("agent      | ", "agent"),
        ("2026-01-01T00:00:00Z ", "log"),
    ],
)
def test_a_prefix_says_which_container_it_was(prefix: str, source: str) -> None:
    line = read(prefix + written() + "\n")
    assert line.source == source
    assert json.loads(line.raw)["call_id"] == "c1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain text",
        "{",
        "[1]",
        '{"event": "draining", "timestamp": "2026-01-01T00:00:00Z"}',
        '{"event": "x", "timestamp": "yesterday", "call_id": "c"}',
        '{"event": "x", "timestamp": "2026-01-01T00:00:00Z", "call_id": 7}',
        '{"event": "x", "timestamp": "2026-01-01T00:00:00Z", "call_id": ""}',
        "{" * 5000,
    ],
)
def test_what_is_about_no_call_is_passed_over(text: str) -> None:
    assert read_line(text, "log") is None
    assert read_lines([text, written()], "log") == [read(written())]


def test_a_call_is_found_by_its_id_or_an_only_beginning_of_it() -> None:
    lines = [read(written(call_id)) for call_id in ("abc-1", "abc-2", "abc-22", "xyz")]
    assert find_call(lines, "abc-2") == "abc-2"
    assert find_call(lines, "abc-22") == "abc-22"
    assert find_call(lines, "x") == "xyz"
    with pytest.raises(NoSuchCall, match="3 calls begin with abc: abc-1, abc-2, abc-22"):
        find_call(lines, "abc")
    with pytest.raises(NoSuchCall, match="no line is about a call nobody"):
        find_call(lines, "nobody")


def test_a_call_that_was_dialled_is_found_by_the_networks_id_too() -> None:
    lines = [read(written("ours", call_uuid="theirs-1")), read(written("other"))]
    assert find_call(lines, "theirs") == "ours"


def test_the_newest_call_is_the_one_that_began_last() -> None:
    lines = [
        read(written("old", "2026-01-01T00:00:01Z")),
        read(written("new", "2026-01-01T00:00:02Z")),
        read(written("old", "2026-01-01T00:00:03Z")),
    ]
    assert newest_call(lines) == "new"
    with pytest.raises(NoSuchCall):
        newest_call([])
