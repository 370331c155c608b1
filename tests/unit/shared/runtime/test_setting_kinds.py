"""shared.runtime.setting_kinds."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from shared.runtime.setting_kinds import BaseUrl, PathSecret


class Example(BaseModel):
    base: BaseUrl | None = None
    secret: PathSecret | None = None


def test_a_base_url_is_kept_without_a_slash_at_its_end() -> None:
    assert Example(base="https://voice.example.com/").base == "https://voice.example.com"
    assert Example(base="http://[::1]:5000/voice").base == "http://[::1]:5000/voice"
    assert Example().base is None


@pytest.mark.parametrize(
    "url",
    [
        *("", "voice.example.com", "ftp://voice.example.com", "https://", "https:///path"),
        *("https://user:pw@voice.example.com", "https://voice.example.com/?x=1", "https://a/#x"),
        *("https://[::1", "https://\u2100"),
    ],
)
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="must") as refused:
        Example(base=url)
    (fault,) = refused.value.errors()
    assert fault["loc"] == ("base",)


def test_a_path_secret_is_long_and_plain() -> None:
    assert Example(secret=SecretStr("a" * 15 + "-")).secret is not None
    for wrong in ("a" * 15, "a" * 129, "with/slash-with/slash", ""):
        with pytest.raises(ValidationError, match="16 to 128"):
            Example(secret=SecretStr(wrong))
