"""PURE. Which tests run beside which: all of them one after another would take twice as long.

Most tests wait, for a call to be played or a process to start, while some measure. So a run has
three lanes at once: what measures time comes first on the processor, the others take what is left.
A test marked `alone` has it all to itself (machine.py).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lane:
    """Files that run one after another.

    Attributes:
        nice: how far it stands back for others, 0 to 19.
        places: beginnings of paths below `tests/`; the longest that fits a file counts.
    """

    name: str
    nice: int
    places: tuple[str, ...]


LANES = (
    Lane("clock", 0, ("", "system/console/test_console")),
    Lane(
        "stacks",
        10,
        (
            *("containers/", "system/console/", "system/test_local_run", "system/test_dialer"),
            *("system/test_campaign_", "system/test_simulator_cli", "system/test_simulator_rest"),
            *("system/test_reconciler", "system/test_standins"),
            *("system/test_bus_metrics", "contract/test_bus", "contract/test_cache"),
            *("contract/test_outbox", "contract/test_pool", "contract/test_sessions"),
            *("system/test_simulator_verbs", "system/test_gateway_process"),
        ),
    ),
    Lane(
        "rules",
        19,
        (
            *("unit/", "contract/", "system/test_leak_guard", "system/test_dialer_openapi"),
            *("system/test_campaign_zones", "system/test_livekit_plugins"),
        ),
    ),
)
"""What fits no other place is taken for a test that measures time."""


def lane_of(file: str) -> Lane:
    """Return the one lane of a test file, named from `tests/` on."""
    fitting = [
        (len(place), lane) for lane in LANES for place in lane.places if file.startswith(place)
    ]
    return max(fitting, key=lambda entry: entry[0])[1]
