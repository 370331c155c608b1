from __future__ import annotations

import pytest

from services.dialer.cli.failure import CommandFailed, Exit
from services.dialer.cli.gateway_urls import Webhooks, base_url, is_loopback, webhooks_of


def test_webhooks_begin_with_the_path_secret() -> None:
    assert webhooks_of("https://v.example.com", "s3cret") == Webhooks(
        "https://v.example.com/s3cret/answer",
        "https://v.example.com/s3cret/hangup",
        "https://v.example.com/s3cret/fallback",
    )
    assert webhooks_of("https://v.example.com", None).answer == "https://v.example.com/answer"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("voice.example.com", "https://voice.example.com"),
        ("http://voice.example.com:8080/", "http://voice.example.com:8080"),
        ("https://voice.example.com/parley/", "https://voice.example.com/parley"),
    ],
)
def test_a_base_url_is_written_one_way(text: str, url: str) -> None:
    assert base_url(text, "--public-url") == url


@pytest.mark.parametrize(
    "text",
    [
        "ftp://voice.example.com",
        "https://",
        "https://u:p@voice.example.com",
        "https://voice.example.com?x=1",
        "https://voice.example.com#x",
        "https://voice.example.com:port",
        "https://voice.example.com:0",
        "https://[voice",
    ],
)
def test_what_is_no_base_url_names_the_option(text: str) -> None:
    with pytest.raises(CommandFailed, match="--public-url must look like") as caught:
        base_url(text, "--public-url")
    assert caught.value.status is Exit.MISUSED


def test_this_machine_is_known() -> None:
    assert is_loopback("http://127.0.0.1:5000")
    assert not is_loopback("http://gateway:5000")
