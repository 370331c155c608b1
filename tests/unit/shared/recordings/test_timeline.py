from __future__ import annotations

import numpy as np
import pytest

from shared.recordings import timeline as module
from shared.recordings.block import AgentPiece, Block, CallerPiece, RunPlace
from shared.recordings.timeline import Rendered, Timeline, peaks_of
from tests.support.phone_line import FRAME, facts, sides


def said(code: int, frames: int = 1) -> bytes:
    return bytes([code]) * (FRAME * frames)


def rendered(*blocks: Block) -> Rendered:
    timeline = Timeline()
    for block in blocks:
        timeline.add(block)
    return timeline.render()


def test_nothing_is_nothing() -> None:
    empty = rendered()
    assert (empty.samples, empty.audio, empty.peaks, empty.parts) == (0, b"", b"", ())
    assert Timeline().facts is None


def test_both_sides_lie_side_by_side() -> None:
    block = Block(
        facts(),
        0,
        caller=(CallerPiece(0, said(1, 3)),),
        agent=(AgentPiece(0, 0, said(9)),),
        runs={0: RunPlace(FRAME)},
    )
    caller, agent = sides(rendered(block))
    assert caller == said(1, 3)
    assert agent == said(0xFF) + said(9) + said(0xFF)


def test_a_run_lies_where_the_latest_block_says() -> None:
    first = Block(
        facts(),
        0,
        caller=(CallerPiece(0, said(1, 9)),),
        agent=(AgentPiece(0, 0, said(9)),),
        runs={0: RunPlace(FRAME)},
    )
    second = Block(facts(), 1, runs={0: RunPlace(3 * FRAME)})
    for order in ((first, second), (second, first)):
        assert sides(rendered(*order))[1].index(9) == 3 * FRAME


def test_what_was_cleared_is_left_out_although_it_was_sent() -> None:
    block = Block(
        facts(),
        0,
        caller=(CallerPiece(0, said(1, 9)),),
        agent=(AgentPiece(0, 0, said(9, 5)),),
        runs={0: RunPlace(0, 2 * FRAME)},
    )
    assert sides(rendered(block))[1].count(9) == 2 * FRAME


def test_a_clear_of_the_next_worker_cuts_what_the_last_one_sent() -> None:
    first = Block(
        facts(1),
        0,
        caller=(CallerPiece(0, said(1, 9)),),
        agent=(AgentPiece(0, 0, said(9, 8)),),
        runs={0: RunPlace(0)},
    )
    second = Block(facts(2), 0, cuts=(3 * FRAME,))
    assert sides(rendered(first, second))[1].count(9) == 3 * FRAME


def test_a_worker_that_does_not_know_the_beginning_is_placed_by_the_clock() -> None:
    first = Block(facts(1, zero_unix_s=1000.0), 0, caller=(CallerPiece(0, said(1)),))
    second = Block(facts(2, zero_unix_s=1001.003), 0, caller=(CallerPiece(0, said(2)),))
    caller, _ = sides(rendered(second, first))
    assert caller.index(2) == 50 * FRAME


def test_what_two_workers_have_is_there_once() -> None:
    first = Block(facts(1), 0, caller=(CallerPiece(0, said(1, 4)),))
    second = Block(facts(2), 0, caller=(CallerPiece(2 * FRAME, said(1, 4)),))
    assert sides(rendered(first, second))[0] == said(1, 6)


def test_parts_say_what_is_missing() -> None:
    blocks = [
        Block(facts(1), 0, caller=(CallerPiece(0, said(1, 50)),)),
        Block(facts(1), 2, caller=(CallerPiece(100 * FRAME, said(1, 50)),), is_last=True),
        Block(facts(2), 0, caller=(CallerPiece(150 * FRAME, said(1, 50)),), is_last=True),
    ]
    found = rendered(*blocks)
    assert [(p.epoch, p.worker_id, p.from_ms, p.until_ms, p.is_whole) for p in found.parts] == [
        (1, "worker-1", 0, 3000, False),
        (2, "worker-2", 3000, 4000, True),
    ]
    assert found.missing == ((1000, 2000),)


def test_a_worker_that_wrote_no_last_block_is_not_whole() -> None:
    assert not rendered(Block(facts(), 0)).parts[0].is_whole
    assert rendered(Block(facts(), 0, is_last=True)).parts[0].is_whole


def test_a_gap_of_a_few_frames_is_the_networks() -> None:
    pieces = (CallerPiece(0, said(1, 3)), CallerPiece(10 * FRAME, said(1, 3)))
    assert rendered(Block(facts(), 0, caller=pieces)).missing == ()


def test_the_same_block_twice_is_one() -> None:
    block = Block(facts(), 0, caller=(CallerPiece(0, said(1)),), stopped="slow")
    assert rendered(block, block) == rendered(block)
    assert rendered(block).stopped == "slow"


def test_a_run_whose_place_is_lost_is_left_out() -> None:
    block = Block(
        facts(), 0, caller=(CallerPiece(0, said(1, 3)),), agent=(AgentPiece(7, 0, said(9)),)
    )
    assert sides(rendered(block))[1].count(9) == 0


def test_a_place_that_can_not_be_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SAMPLES", 8000)
    block = Block(facts(), 0, caller=(CallerPiece(0, said(1)), CallerPiece(10**15, said(2))))
    found = rendered(block)
    assert found.samples == 8000
    assert found.stopped == "too_long"


def test_peaks_are_the_loudest_of_each_20_ms() -> None:
    codes = np.concatenate([np.frombuffer(said(0xFF), np.uint8), np.array([0x80, 0x00], np.uint8)])
    assert list(peaks_of(codes)) == [0, 127]
