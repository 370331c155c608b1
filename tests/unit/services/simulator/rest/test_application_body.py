from __future__ import annotations

from typing import Any

import pytest

from services.simulator.rest.application_body import (
    BadApplication,
    changed_application,
    new_application,
)

BODY: dict[str, Any] = {"app_name": "Shop_1-a", "answer_url": "https://app.example/answer"}
URI, THEN, NOW = "/v1/Account/MA_1/Application/17/", "2026-11-25", "2026-11-26"


def made(**fields: Any) -> dict[str, Any]:
    return new_application("17", BODY | fields, resource_uri=URI, now=THEN)


def test_a_new_application_has_the_clouds_defaults() -> None:
    shown = made(default_number_app=True, unknown="left out")
    assert shown["hangup_url"] == BODY["answer_url"]
    assert {shown[f"{kind}_method"] for kind in ("answer", "hangup", "fallback")} == {"POST"}
    assert (shown["fallback_answer_url"], shown["enabled"]) == (None, True)
    assert (shown["default_number_app"], shown["default_endpoint_app"]) == (True, False)
    assert (shown["app_id"], shown["resource_uri"], shown["created_at"]) == ("17", URI, THEN)
    assert "unknown" not in shown


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"app_name": "no!"}, "letters"),
        ({"app_name": 5}, "letters"),
        ({"app_name": None}, "app_name is required"),
        ({"answer_url": ""}, "answer_url is required"),
        ({"hangup_url": "x"}, "hangup_url is not a URL"),
        ({"fallback_answer_url": 5}, "not a URL"),
        ({"answer_method": "PUT"}, "GET or POST"),
        ({"default_endpoint_app": "true"}, "true or false"),
    ],
)
def test_a_field_that_cannot_be_is_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BadApplication, match=text):
        made(**fields)


def test_a_body_that_is_no_object_is_refused() -> None:
    with pytest.raises(BadApplication, match="object"):
        new_application("17", [], resource_uri=URI, now=THEN)


def test_a_change_takes_the_flag_for_endpoints_back_unless_it_is_repeated() -> None:
    shown = made(default_endpoint_app=True, default_number_app=True)
    changed = changed_application(shown, {"hangup_method": "GET"}, now=NOW)
    assert (changed["hangup_method"], changed["app_name"]) == ("GET", "Shop_1-a")
    assert (changed["default_endpoint_app"], changed["default_number_app"]) == (False, True)
    assert (changed["created_at"], changed["updated_at"]) == (THEN, NOW)
    kept = changed_application(shown, {"default_endpoint_app": True}, now=NOW)
    assert kept["default_endpoint_app"] is True
    with pytest.raises(BadApplication):
        changed_application(shown, {"answer_url": "x"}, now=NOW)
