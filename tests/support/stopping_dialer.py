"""A dialer that stands still, as on a machine that is too busy, right after it looked at a grant.

It stops itself at some of the looks that found a grant good (before the request's head, before its
body, after it has gone out); whoever started it lets it go on.
"""

from __future__ import annotations

import os
import signal
from random import Random

from services.dialer.__main__ import main
from services.dialer.campaigns.pacing import Grant, Pacing

_SHARE = 0.3
_is_good = Pacing.is_good
_chance = Random(7)


def _stands_still(pacing: Pacing, grant: Grant) -> bool:
    is_good = _is_good(pacing, grant)
    if is_good and _chance.random() < _SHARE:
        os.kill(os.getpid(), signal.SIGSTOP)
    return is_good


if __name__ == "__main__":
    Pacing.is_good = _stands_still  # type: ignore[assignment,method-assign] # so that it is late
    main()
