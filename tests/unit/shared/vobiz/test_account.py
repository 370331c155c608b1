"""Which account a service acts for."""

from __future__ import annotations

import pytest

from shared.vobiz.account import VOBIZ_API_BASE, VobizAccount, account_of, api_base_of

TRIAL = "http://127.0.0.1:5003/api/v1"
OTHER = "https://vobiz.example.com/api/v1"


@pytest.mark.parametrize(
    ("auth_id", "token", "base", "trial", "account"),
    [
        (None, None, VOBIZ_API_BASE, None, None),
        (None, None, VOBIZ_API_BASE, TRIAL, VobizAccount("MA_LOCAL", "local-token", TRIAL)),
        (None, None, OTHER, None, VobizAccount("MA_LOCAL", "local-token", OTHER)),
        ("MA_1", "t", VOBIZ_API_BASE, TRIAL, VobizAccount("MA_1", "t", VOBIZ_API_BASE)),
        ("MA_1", "t", OTHER, None, VobizAccount("MA_1", "t", OTHER)),
        ("MA_1", None, VOBIZ_API_BASE, TRIAL, None),
    ],
)
def test_an_account_is_the_configured_one_or_made_up_for_a_stand_in(
    auth_id: str | None, token: str | None, base: str, trial: str | None, account: object
) -> None:
    assert account_of(auth_id, token, base, trial) == account


def test_the_stand_in_serves_until_there_is_an_account() -> None:
    assert api_base_of(None, VOBIZ_API_BASE, TRIAL) == TRIAL
    assert api_base_of("MA_1", VOBIZ_API_BASE, TRIAL) == VOBIZ_API_BASE


def test_an_account_does_not_show_its_token() -> None:
    assert "s3cret" not in repr(VobizAccount("MA_1", "s3cret", VOBIZ_API_BASE))
