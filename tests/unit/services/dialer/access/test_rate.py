"""How many requests a key may save up."""

from __future__ import annotations

import pytest

from services.dialer.access.rate import saved_up


@pytest.mark.parametrize(("per_minute", "saved"), [(1, 1), (9, 9), (60, 10), (600, 60)])
def test_a_tenth_of_a_minute_is_saved_up_and_at_least_ten(per_minute: int, saved: int) -> None:
    assert saved_up(per_minute) == saved
