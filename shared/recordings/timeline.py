"""PURE. Puts blocks together: what each side heard, from the call's first audio to its end.

The agent's pieces are placed when all blocks are there, for what a block says of a run's place may
be known better by a later one. Of two pieces at one place the later one counts; workers that had
the call one after the other come in the order of their epochs. Silence is where nothing is known.

Costs 18 bytes of memory for each millisecond of the call while it is put together (65 MB an hour).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shared.audio.format import FRAME_SAMPLES, PHONE_RATE_HZ, SILENCE
from shared.recordings.block import AgentPiece, Block, Facts, RunPlace

SAMPLES_PER_MS = PHONE_RATE_HZ // 1000
MOST_SAMPLES = 4 * 3600 * PHONE_RATE_HZ
"""What comes later in a call is left out, and the index says that the recording was stopped."""
_LEAST_GAP_SAMPLES = PHONE_RATE_HZ // 4
_SILENT_CODE = 0
Codes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Part:
    """What one worker wrote of a call; `is_whole`: nothing of it is missing."""

    epoch: int
    worker_id: str
    from_ms: int
    until_ms: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Rendered:
    """A recording put together.

    Attributes:
        audio: mu-law, caller and agent in turn, a byte each.
        peaks: the loudest code of each 20 ms, as a magnitude from 0 to 127: the caller's, then the
            agent's.
        samples: of each side.
        parts: by epoch.
        missing: where nothing of the caller is there for a quarter of a second or more, in ms.
        stopped: why a worker gave the recording up; empty: none did.
    """

    audio: bytes
    peaks: bytes
    samples: int
    parts: tuple[Part, ...]
    missing: tuple[tuple[int, int], ...]
    stopped: str


@dataclass(slots=True)
class _Epoch:
    facts: Facts
    numbers: set[int] = field(default_factory=set)
    has_last: bool = False
    caller: list[tuple[int, int]] = field(default_factory=list)
    pieces: list[AgentPiece] = field(default_factory=list)
    runs: dict[int, tuple[int, RunPlace]] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    audio: list[tuple[int, bytes]] = field(default_factory=list)


class Timeline:
    """One call's blocks, added in any order."""

    def __init__(self) -> None:
        self._epochs: dict[int, _Epoch] = {}
        self._stopped = ""

    @property
    def facts(self) -> Facts | None:
        """Of the first worker; None while there is no block."""
        return self._epochs[min(self._epochs)].facts if self._epochs else None

    def add(self, block: Block) -> None:
        """Take a block; the same one twice is one."""
        epoch = self._epochs.setdefault(block.facts.epoch, _Epoch(block.facts))
        if block.number in epoch.numbers:
            return
        epoch.numbers.add(block.number)
        epoch.has_last |= block.is_last
        epoch.audio += [(piece.place, piece.ulaw) for piece in block.caller]
        epoch.pieces += block.agent
        epoch.cuts += block.cuts
        for run, place in block.runs.items():
            if run not in epoch.runs or epoch.runs[run][0] < block.number:
                epoch.runs[run] = block.number, place
        self._stopped = self._stopped or block.stopped

    def render(self) -> Rendered:
        """Put all blocks together; takes some 50 ms an hour of audio: not on a loop that paces."""
        epochs = [self._epochs[number] for number in sorted(self._epochs)]
        zero_s = min((epoch.facts.zero_unix_s for epoch in epochs), default=0.0)
        shifts = [_shift(epoch.facts.zero_unix_s - zero_s) for epoch in epochs]
        samples = max(map(_caller_end, epochs, shifts), default=0)
        samples = max([samples, *map(_cut_end, epochs, shifts)])
        stopped = self._stopped
        if samples > MOST_SAMPLES:
            samples, stopped = MOST_SAMPLES, stopped or "too_long"
        stereo = np.full((samples, 2), SILENCE, dtype=np.uint8)
        is_known = np.zeros(-(-samples // FRAME_SAMPLES), dtype=np.bool_)
        for place, (epoch, shift) in enumerate(zip(epochs, shifts, strict=True)):
            _lay_caller(epoch, shift, stereo[:, 0], is_known)
            cuts = [
                cut + later_shift
                for later, later_shift in zip(epochs[place + 1 :], shifts[place + 1 :], strict=True)
                for cut in later.cuts
            ]
            _lay_agent(epoch, shift, stereo[:, 1], min(cuts, default=samples))
        return Rendered(
            audio=stereo.tobytes(),
            peaks=peaks_of(stereo[:, 0]).tobytes() + peaks_of(stereo[:, 1]).tobytes(),
            samples=samples,
            parts=tuple(map(_part, epochs, shifts)),
            missing=_gaps(is_known, samples),
            stopped=stopped,
        )


def peaks_of(codes: Codes) -> Codes:
    """Return the loudest magnitude (0..127) of each 20 ms: mu-law codes order samples by it."""
    magnitudes = ~codes & 0x7F
    whole = -(-len(magnitudes) // FRAME_SAMPLES) * FRAME_SAMPLES
    padded = np.full(whole, _SILENT_CODE, dtype=np.uint8)
    padded[: len(magnitudes)] = magnitudes
    peaks: Codes = padded.reshape(-1, FRAME_SAMPLES).max(axis=1)
    return peaks


def _shift(behind_s: float) -> int:
    """How many samples a worker's places are behind, on the grid of 20 ms."""
    return round(behind_s * PHONE_RATE_HZ / FRAME_SAMPLES) * FRAME_SAMPLES


def _caller_end(epoch: _Epoch, shift: int) -> int:
    return max((place + len(ulaw) + shift for place, ulaw in epoch.audio), default=0)


def _cut_end(epoch: _Epoch, shift: int) -> int:
    """What is known to have been heard: a run is over by where it was cut at the latest."""
    ends = [place.until for _, place in epoch.runs.values() if place.until is not None]
    return max(ends, default=-shift) + shift


def _lay_caller(epoch: _Epoch, shift: int, side: Codes, is_known: NDArray[np.bool_]) -> None:
    for place, ulaw in epoch.audio:
        start = place + shift
        _lay(side, start, ulaw)
        is_known[start // FRAME_SAMPLES : -(-(start + len(ulaw)) // FRAME_SAMPLES)] = True


def _lay_agent(epoch: _Epoch, shift: int, side: Codes, until: int) -> None:
    for piece in epoch.pieces:
        if piece.run not in epoch.runs:
            continue  # its block is lost, and with it where this was heard
        place = epoch.runs[piece.run][1]
        start = place.start + piece.offset + shift
        end = until if place.until is None else min(until, place.until + shift)
        _lay(side, start, piece.ulaw[: max(0, end - start)])


def _lay(side: Codes, start: int, ulaw: bytes) -> None:
    codes = np.frombuffer(ulaw, dtype=np.uint8)[: max(0, len(side) - start)]
    side[start : start + len(codes)] = codes


def _part(epoch: _Epoch, shift: int) -> Part:
    places = [place for place, _ in epoch.audio]
    numbers = epoch.numbers
    return Part(
        epoch=epoch.facts.epoch,
        worker_id=epoch.facts.worker_id,
        from_ms=(min(places, default=0) + shift) // SAMPLES_PER_MS,
        until_ms=_caller_end(epoch, shift) // SAMPLES_PER_MS,
        is_whole=epoch.has_last and len(numbers) == max(numbers) + 1,
    )


def _gaps(is_known: NDArray[np.bool_], samples: int) -> tuple[tuple[int, int], ...]:
    edges = np.flatnonzero(np.diff(np.concatenate([[True], is_known, [True]]).astype(np.int8)))
    gaps = []
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        start, end = int(first) * FRAME_SAMPLES, min(int(last) * FRAME_SAMPLES, samples)
        if end - start >= _LEAST_GAP_SAMPLES:
            gaps.append((start // SAMPLES_PER_MS, end // SAMPLES_PER_MS))
    return tuple(gaps)
