from __future__ import annotations

from dataclasses import replace

import pytest

from shared.recordings.block import Block, CallerPiece
from shared.recordings.index import (
    RecordingIndex,
    UnreadableIndex,
    index_of,
    read_index,
    waveform,
    write_index,
)
from shared.recordings.timeline import Timeline
from tests.support.phone_line import FRAME, facts


def made(**changes: object) -> RecordingIndex:
    timeline = Timeline()
    timeline.add(Block(facts(keep_s=60.0), 0, caller=(CallerPiece(0, b"\x01" * FRAME * 50),)))
    known = timeline.facts
    assert known is not None
    return replace(index_of(timeline.render(), known, is_complete=True), **changes)  # type: ignore[arg-type]


def test_an_index_comes_back_as_it_was() -> None:
    for index in (made(), made(missing=((0, 300),), stopped="slow", expires_unix_s=None)):
        assert read_index(write_index(index)) == index


def test_it_expires_so_long_after_the_end() -> None:
    assert made().expires_unix_s == 1000.0 + 1.0 + 60.0
    assert made().duration_ms == 1000


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"version": 2}', b'{"version": 1}', b"\xff"])
def test_what_is_no_index_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(UnreadableIndex):
        read_index(data)


def test_readers_get_what_they_need() -> None:
    assert made(stopped="slow").public() == {
        "call_id": "call-1",
        "agent": "default",
        "began_unix_s": 1000.0,
        "duration_ms": 1000,
        "has_audio": True,
        "is_complete": True,
        "stopped": "slow",
        "expires_unix_s": 1061.0,
        "parts": [
            {
                "epoch": 1,
                "worker_id": "worker-1",
                "from_ms": 0,
                "until_ms": 1000,
                "is_whole": False,
            }
        ],
        "missing": [],
    }


def test_a_waveform_has_as_many_bins_as_were_asked_for() -> None:
    peaks = bytes([0, 10, 20, 127, 5, 5]) + bytes(6)
    for bins in (1, 2, 3, 6, 7, 40):
        caller, agent = waveform(peaks, bins)
        assert (len(caller), len(agent)) == (bins, bins)
        assert max(caller) == 1.0
        assert agent == [0.0] * bins
    assert waveform(b"", 3) == ([0.0] * 3, [0.0] * 3)


def test_a_bin_has_the_loudest_of_its_time() -> None:
    caller, _ = waveform(bytes([0, 127, 0, 0, 0, 64, 0, 0]) + bytes(8), 4)
    assert [level > 0 for level in caller] == [True, False, True, False]
