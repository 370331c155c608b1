"""services.gateway.settings."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.gateway.settings import GatewaySettings


def made(**fields: Any) -> GatewaySettings:
    return GatewaySettings(**fields)


def test_the_environments_names_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PORT", "5010")
    monkeypatch.setenv("PUBLIC_URL", "https://voice.example.com/")
    monkeypatch.setenv("GATEWAY_WEBHOOK_AUTH", "path")
    monkeypatch.setenv("GATEWAY_API_KEY", "")
    settings = GatewaySettings()
    assert settings.http_port == 5010
    assert settings.public_url == "https://voice.example.com"
    assert settings.gateway_webhook_auth == "path"
    assert settings.api_key is None


@pytest.mark.parametrize(
    "fields",
    [
        {"public_url": "voice.example.com"},
        {"public_url": "ftp://voice.example.com"},
        {"public_url": "https://user:pw@voice.example.com"},
        {"public_url": "https://voice.example.com/?x=1"},
        {"gateway_path_secret": "short"},
        {"gateway_path_secret": "with/slash-with/slash"},
        {"gateway_message_max_bytes": 1_000_000, "gateway_message_hard_max_bytes": 70_000},
        {"gateway_stream_max_retries": 11},
        {"gateway_trusted_proxies": "10.0.0.0/8, 10.0.0.1/8"},
        {"gateway_trusted_proxies": "*"},
    ],
)
def test_settings_that_can_not_work_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        made(**fields)


def test_a_tunnel_or_a_public_url_makes_a_gateway_public() -> None:
    assert not made().is_public
    assert made(public_url="https://voice.example.com").is_public
    assert made(ngrok_auth_token="token").is_public


def test_several_tokens_may_sign() -> None:
    settings = made(vobiz_auth_token="a", gateway_extra_auth_tokens=" b, ,c")
    assert settings.auth_tokens == ("a", "b", "c")
    assert made().auth_tokens == ()


def test_gateways_that_share_a_secret_make_the_same_tokens() -> None:
    public = {"public_url": "https://voice.example.com"}
    assert made().token_secret == made().token_secret
    shared = {"parley_link_secret": "common-secret"} | public
    assert made(**shared).token_secret == made(**shared).token_secret
    own = {"gateway_token_secret": "own-secret"} | public
    assert made(**own).token_secret == made(**own).token_secret
    assert made(**own).token_secret != made(**shared).token_secret


def test_a_public_gateway_makes_no_tokens_from_a_secret_that_everybody_knows() -> None:
    """The default link secret stands in the source; tokens made from it would let anybody in."""
    first = made(public_url="https://voice.example.com")
    second = made(public_url="https://voice.example.com")
    assert first.has_own_token_secret
    assert first.token_secret != second.token_secret
    assert first.token_secret == first.token_secret


def test_a_gateway_has_a_name_and_keeps_it() -> None:
    settings = made()
    assert settings.own_id == settings.own_id
    assert settings.own_id != made().own_id
    assert made(gateway_id="gw-1").own_id == "gw-1"


def test_secrets_do_not_show() -> None:
    settings = made(vobiz_auth_token="sesame", gateway_api_key="sesame")
    assert "sesame" not in repr(settings)


def test_vobizs_recordings_need_a_place_and_an_account() -> None:
    assert made().vobiz_recorded_agents == frozenset()
    wanted = {"gateway_vobiz_recorded_agents": "sales, support,"}
    with pytest.raises(ValidationError, match="RECORDINGS_URL"):
        made(**wanted)
    with pytest.raises(ValidationError, match="VOBIZ_AUTH_ID"):
        made(**wanted, recordings_url="recordings")
    local = made(
        **wanted,
        recordings_url="recordings",
        gateway_trial_api_base="http://simulator:5003/api/v1/",
    )
    assert local.vobiz_recorded_agents == {"sales", "support"}
    assert local.vobiz_account is not None
    assert local.vobiz_account.api_base == "http://simulator:5003/api/v1"
