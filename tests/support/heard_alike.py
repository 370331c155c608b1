"""Compares a recording with what the simulator's handset has: sample by sample, with an offset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]
FRAME = 160
_LONGEST_ANSWER = 100 * FRAME


@dataclass(frozen=True)
class Likeness:
    """How far a recording is what was heard.

    Attributes:
        offset: where the recording begins in the handset's file, in samples.
        said_differs: samples of the caller's side that differ, in the time both have.
        spans: for each stretch of the agent that was heard: how many samples later the recording
            has it, and how many of its samples differ there.
        strays: samples where the recording has sound further than a frame from any stretch.
    """

    offset: int
    said_differs: int
    spans: tuple[tuple[int, int], ...]
    strays: int

    @property
    def worst_shift(self) -> int:
        return max((abs(shift) for shift, _ in self.spans), default=0)


def compare(
    recorded: Pcm, handset: Pcm, agent_spans: list[tuple[int, int]], *, reach: int = 10 * FRAME
) -> Likeness:
    """Compare stereo with stereo, shape (n, 2).

    Args:
        recorded: the platform's.
        handset: the simulator's.
        agent_spans: where the handset heard the agent, first and last sample + 1.
        reach: how far a stretch is looked for.
    """
    offset = _offset(recorded[:, 0], handset[:, 0])
    heard = _moved(recorded, offset, len(handset))
    until = min(len(handset), offset + len(recorded))
    said = heard[offset:until, 0] != handset[offset:until, 0]
    spans, near = [], np.zeros(len(handset), np.bool_)
    for start, end in agent_spans:
        spans.append(_best(heard[:, 1], handset[:, 1], start, end, reach))
        near[max(0, start - FRAME) : end + FRAME] = True
    strays = np.count_nonzero((heard[:, 1] != 0) & ~near)
    return Likeness(offset, int(np.count_nonzero(said)), tuple(spans), int(strays))


def _offset(recorded: Pcm, handset: Pcm) -> int:
    """Where the caller's side is most alike; it begins with a frame of the handset's."""
    assert np.any(recorded), "nothing of the caller was recorded"
    differs = []
    for offset in range(0, _LONGEST_ANSWER, FRAME):
        both = min(len(recorded), len(handset) - offset)
        unlike = np.count_nonzero(recorded[:both] != handset[offset : offset + both])
        differs.append((int(unlike), offset))
    return min(differs)[1]


def _moved(recorded: Pcm, offset: int, samples: int) -> Pcm:
    moved = np.zeros((samples, 2), np.int16)
    part = recorded[: samples - offset]
    moved[offset : offset + len(part)] = part
    return moved


def _best(recorded: Pcm, handset: Pcm, start: int, end: int, reach: int) -> tuple[int, int]:
    wanted = handset[start:end]
    found = []
    for shift in range(-reach, reach + 1, FRAME // 2):
        at = recorded[max(0, start + shift) : max(0, end + shift)]
        if len(at) == len(wanted):
            found.append((int(np.count_nonzero(at != wanted)), abs(shift), shift))
    differs, _, shift = min(found)
    return shift, differs
