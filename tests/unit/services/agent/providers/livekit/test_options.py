from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.agent.providers.livekit.options import LiveKitOptions


def test_what_is_not_ours_goes_to_the_plugin_as_it_is() -> None:
    options = LiveKitOptions.model_validate(
        {"plugin": "cartesia", "gain_db": 3, "voice": "v", "speed": 1.1}
    )
    assert options.arguments == {"voice": "v", "speed": 1.1}
    assert (options.provider, options.gain_db) == ("livekit:cartesia", 3.0)


def test_the_key_is_looked_for_under_the_plugins_name_unless_told() -> None:
    assert LiveKitOptions.model_validate({"plugin": "x"}).api_key_env == "X_API_KEY"
    told = LiveKitOptions.model_validate({"plugin": "x", "api_key_env": "OTHER"})
    assert told.api_key_env == "OTHER"


@pytest.mark.parametrize("name", ["api_key", "http_session", "client", "_strict"])
def test_no_file_may_hold_a_key_or_what_only_code_can_make(name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name}: not for a file"):
        LiveKitOptions.model_validate({"plugin": "x", name: "secret"})


@pytest.mark.parametrize("wrong", [{"plugin": "../x"}, {}, [], {"plugin": "x", "gain_db": 99}])
def test_what_makes_no_sense_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        LiveKitOptions.model_validate(wrong)
