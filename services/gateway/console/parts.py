"""What the console's routes need beside the gateway's own parts."""

from __future__ import annotations

from dataclasses import dataclass

from services.gateway.console.neighbours import Neighbours
from services.gateway.console.outlook import Outlook
from services.gateway.console.stream import Watchers
from shared.bus.base import Bus


@dataclass(frozen=True, slots=True)
class ConsoleParts:
    """Built once, and handed out with the gateway's state.

    `transfers` bounds how many tables pass through at once, up and down together.
    """

    bus: Bus
    neighbours: Neighbours
    outlook: Outlook
    watchers: Watchers
    transfers: Watchers
