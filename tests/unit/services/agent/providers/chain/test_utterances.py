from __future__ import annotations

import numpy as np

from services.agent.providers.base import Pcm
from services.agent.providers.chain.utterances import Utterances

FRAME = 160


class Notes:
    """Writes down what it hears: marks, and runs of frames by their values."""

    def __init__(self) -> None:
        self.heard: list[str | list[int]] = []

    def push(self, pcm: Pcm) -> None:
        self.heard.append([int(value) for value in pcm[::FRAME]])

    def begin(self) -> None:
        self.heard.append("begin")

    def end(self) -> None:
        self.heard.append("end")


def push(utterances: Utterances, *values: int) -> None:
    for value in values:
        utterances.push(np.full(FRAME, value, np.int16))


def replayed(utterances: Utterances) -> list[str | list[int]]:
    notes = Notes()
    utterances.replay(notes)
    return notes.heard


def test_silence_is_kept_for_the_preroll_alone() -> None:
    utterances = Utterances()
    push(utterances, *range(100))
    assert replayed(utterances) == [list(range(80, 100))]


def test_the_utterance_in_hand_is_said_again_as_far_as_it_went() -> None:
    utterances = Utterances()
    push(utterances, *range(30))
    utterances.begin()
    push(utterances, *range(30, 100))
    utterances.begin()
    assert replayed(utterances) == [list(range(10, 30)), "begin", list(range(30, 100))]
    assert utterances.has_begun


def test_an_utterance_that_is_owed_its_text_is_said_again_to_its_end() -> None:
    utterances = Utterances()
    utterances.begin()
    push(utterances, 1, 2)
    utterances.end()
    push(utterances, 3)
    utterances.begin()
    push(utterances, 4)
    assert utterances.owed == 1
    assert replayed(utterances) == ["begin", [1, 2], "end", [3], "begin", [4]]


def test_a_settled_utterance_is_forgotten_but_for_the_preroll_of_the_next() -> None:
    utterances = Utterances()
    utterances.begin()
    push(utterances, *range(50))
    utterances.end()
    push(utterances, 50)
    assert utterances.settle()
    assert utterances.owed == 0
    assert replayed(utterances) == [list(range(31, 51))]
    assert not utterances.settle()


def test_an_end_without_a_beginning_is_owed_a_text_too() -> None:
    utterances = Utterances()
    push(utterances, 1)
    utterances.end()
    assert replayed(utterances) == [[1], "end"]


def test_long_speech_is_bounded_and_loses_its_beginning() -> None:
    utterances = Utterances()
    utterances.begin()
    push(utterances, *range(1100))
    notes = Notes()
    seconds = utterances.replay(notes)
    assert seconds == 20.0
    assert notes.heard == ["begin", list(range(100, 1100))]


def test_chunks_of_any_length_are_cut_to_the_sample() -> None:
    utterances = Utterances()
    utterances.push(np.arange(5000, dtype=np.int16))
    notes: list[Pcm] = []

    class Ear(Notes):
        def push(self, pcm: Pcm) -> None:
            notes.append(pcm)

    utterances.replay(Ear())
    assert len(notes) == 1
    assert list(notes[0]) == list(range(1800, 5000))


def test_many_utterances_without_a_text_are_bounded_together() -> None:
    utterances = Utterances()
    for value in range(5):
        utterances.begin()
        push(utterances, *[value] * 400)
        utterances.end()
    assert utterances.owed == 5
    assert utterances.owed_s <= 20
    assert replayed(utterances).count("end") == 5
    assert [4] * 400 in replayed(utterances)


def test_what_is_kept_is_a_copy() -> None:
    utterances = Utterances()
    frame = np.full(FRAME, 7, np.int16)
    utterances.push(frame)
    frame[:] = 0
    assert replayed(utterances) == [[7]]
