"""What all routers of the API are given: the door, bounds, and whether the dialer is stopping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import Depends

from services.dialer.desk.body import BodyBounds
from services.dialer.desk.door import Door
from services.dialer.problems import Problem, Refused


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Desk:
    """What requests are held against before they reach what a router is about.

    `list_max` bounds every list; `is_draining` is true while the process is stopping.
    """

    door: Door
    body: BodyBounds = field(default_factory=BodyBounds)
    list_max: int = 200
    is_draining: Callable[[], bool] = _never

    @property
    def list_default(self) -> int:
        """How many entries a list has where nobody says."""
        return min(50, self.list_max)

    async def refuse_while_draining(self) -> None:
        """Turn away what begins new work.

        Raises:
            Refused: 503 while the process is stopping.
        """
        if self.is_draining():
            raise Refused(Problem.of("draining", "Try another one.", retry_after_s=1))

    @property
    def begins_work(self) -> Any:
        """The dependency of routes that begin new work."""
        return Depends(self.refuse_while_draining)
