"""The dialer's settings."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.dialer.calls.machine import MachineDetection
from services.dialer.settings import DialerSettings
from shared.vobiz.account import VOBIZ_API_BASE

KEY = {"dialer_api_key": "k"}


def settings(**values: object) -> DialerSettings:
    return DialerSettings(**values)  # type: ignore[arg-type] # as text, like the environment


def test_orders_that_say_nothing_of_machines_go_by_the_setting() -> None:
    assert settings().order_rules.machine_detection is MachineDetection.OFF
    chosen = settings(dialer_machine_detection="detect").order_rules
    assert chosen.machine_detection is MachineDetection.DETECT


def test_a_local_trial_needs_nothing() -> None:
    plain = settings()
    assert plain.gateway.base == "http://127.0.0.1:5000"
    assert plain.root_key is None
    assert plain.account is None
    assert not plain.is_public


@pytest.mark.parametrize(
    "public",
    [
        {"public_url": "https://voice.example.com"},
        {"ngrok_auth_token": "t"},
        {"dialer_gateway_url": "https://voice.example.com"},
    ],
)
def test_a_public_gateway_needs_a_key(public: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="DIALER_API_KEY"):
        settings(**public)
    assert settings(**public, **KEY).root_key == "k"


def test_the_dialers_own_gateway_url_wins() -> None:
    both = settings(public_url="https://a.example", dialer_gateway_url="http://b.example/", **KEY)
    assert both.gateway.base == "http://b.example"
    assert settings(public_url="https://a.example/", **KEY).gateway.base == "https://a.example"


@pytest.mark.parametrize("url", ["voice.example.com", "ftp://x", "https://u@x", "https://x/?a=1"])
def test_urls_are_checked(url: str) -> None:
    with pytest.raises(ValidationError):
        settings(public_url=url, **KEY)


@pytest.mark.parametrize("auth_id", ["MA/../x", "", "MA 1"])
def test_the_account_id_is_safe_in_a_path(auth_id: str) -> None:
    with pytest.raises(ValidationError):
        settings(vobiz_auth_id=auth_id, vobiz_auth_token="t")


def test_an_id_without_its_token_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="VOBIZ_AUTH_TOKEN"):
        settings(vobiz_auth_id="MA_EXAMPLE1")


@pytest.mark.parametrize("secret", ["short", "with/slash-with/slash", "é" * 20])
def test_the_path_secret_is_held_to_the_gateways_rule(secret: str) -> None:
    with pytest.raises(ValidationError):
        settings(gateway_path_secret=secret)


def test_an_account_is_used_as_given_and_never_shown() -> None:
    account = settings(vobiz_auth_id="MA_EXAMPLE1", vobiz_auth_token="hidden").account
    assert account is not None
    assert (account.auth_token, account.api_base) == ("hidden", VOBIZ_API_BASE)
    assert "hidden" not in repr(account)


def test_a_stand_in_for_vobiz_is_used_until_there_is_an_account() -> None:
    trial = {"dialer_trial_api_base": "http://127.0.0.1:5003/api/v1"}
    account = settings(**trial).account
    assert account is not None
    assert account.api_base == trial["dialer_trial_api_base"]
    real = settings(**trial, vobiz_auth_id="MA_EXAMPLE1", vobiz_auth_token="t").account
    assert real is not None
    assert real.api_base == VOBIZ_API_BASE


def test_a_gateway_that_vobiz_cannot_reach_is_noticed() -> None:
    real = {"vobiz_auth_id": "MA_EXAMPLE1", "vobiz_auth_token": "t"}
    assert settings(**real).is_unreachable_for_vobiz
    assert not settings(**real, public_url="https://a.example", **KEY).is_unreachable_for_vobiz
    assert not settings(vobiz_api_base="http://127.0.0.1:5003/api/v1").is_unreachable_for_vobiz


def test_limits_are_left_to_vobiz_unless_set() -> None:
    limits = settings(dialer_ring_timeout_s="45").limits
    assert (limits.ring_timeout_s, limits.time_limit_s) == (45, None)


def test_a_trial_makes_its_caller_number_up_and_an_account_does_not() -> None:
    trial = settings(dialer_trial_api_base="http://127.0.0.1:5003/api/v1")
    assert (trial.order_rules.from_number or "").startswith("+91800000")
    given = settings(dialer_trial_api_base="http://s/api/v1", from_number="+918000000077")
    assert given.order_rules.from_number == "+918000000077"
    account = settings(
        dialer_trial_api_base="http://s/api/v1", vobiz_auth_id="MA_X", vobiz_auth_token="t"
    )
    assert account.order_rules.from_number is None
    assert settings().order_rules.from_number is None


def test_a_file_of_holidays_is_read_or_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "holidays.txt"
    file.write_text("2027-01-01\nIN 2027-01-26\n")
    rules = settings(dialer_holidays_file=str(file)).campaign_rules
    assert rules.holidays.has("Asia/Kolkata", date(2027, 1, 26))
    assert not settings().campaign_rules.holidays.has("Asia/Kolkata", date(2027, 1, 26))
    file.write_text("2027-01-01\nsoon\n")
    with pytest.raises(ValidationError, match="line 2"):
        settings(dialer_holidays_file=str(file))
    file.write_text("2027-01-01\n" * 100_000)
    with pytest.raises(ValidationError, match="characters"):
        settings(dialer_holidays_file=str(file))
    with pytest.raises(ValidationError, match="No such file"):
        settings(dialer_holidays_file=str(tmp_path / "none.txt"))


def test_campaigns_need_a_caller_number_where_none_is_set() -> None:
    assert not settings().campaign_rules.has_caller
    assert settings(from_number="+918000000001").campaign_rules.has_caller
    assert settings(dialer_upload_max_bytes=2000).upload_bounds.max_bytes == 2000
