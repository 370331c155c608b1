"""PURE. A crowd by shares: what a number does when it is dialled for the n-th time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.simulator.calls.chance import chance_of


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of what people do; a number and the count of its calls decide, and the seed.

    Args:
        shares: outcome to weight; they need not add up to one.
        after_s: least and longest ringing before that.
        talk_s: least and longest time until who picked up hangs up.
        machine_s: the same of machines, which detection must be able to hear out.
        seed: another one, other people.
    """

    shares: Mapping[str, float]
    after_s: tuple[float, float] = (0.1, 0.5)
    talk_s: tuple[float, float] = (0.3, 1.5)
    machine_s: tuple[float, float] = (6.0, 8.0)
    seed: int = 1

    def outcome(self, number: str, attempt: int) -> str:
        """Return what the n-th call to a number (counted from 1) comes to."""
        point = chance_of(self.seed, "outcome", number, attempt) * sum(self.shares.values())
        for name, share in self.shares.items():
            if point < share:
                return name
            point -= share
        return list(self.shares)[-1]

    def ring_s(self, number: str, attempt: int) -> float:
        """Return how long it rings."""
        return _between(self.after_s, chance_of(self.seed, "ring", number, attempt))

    def answered_for_s(self, number: str, attempt: int) -> float:
        """Return how long who picks up stays."""
        is_machine = self.outcome(number, attempt) == "machine"
        bounds = self.machine_s if is_machine else self.talk_s
        return _between(bounds, chance_of(self.seed, "talk", number, attempt))


@dataclass(slots=True)
class Attempts:
    """Counts the calls to each number; the oldest numbers are forgotten beyond `most`."""

    most: int = 200_000
    _counts: dict[str, int] = field(default_factory=dict)

    def next_of(self, number: str) -> int:
        """Return the count of the call that begins now, from 1."""
        count = self._counts.pop(number, 0) + 1
        self._counts[number] = count
        if len(self._counts) > self.most:
            del self._counts[next(iter(self._counts))]
        return count

    def forget(self) -> None:
        """Begin anew."""
        self._counts.clear()


def _between(bounds: tuple[float, float], chance: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * chance
