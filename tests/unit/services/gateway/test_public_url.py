"""services.gateway.public_url: what the operator is told when there is no tunnel."""

from __future__ import annotations

import threading

import pytest
from pyngrok import ngrok
from pyngrok.exception import PyngrokError, PyngrokNgrokError, PyngrokNgrokInstallError

from services.gateway.public_url import NoTunnel, explain, open_tunnel


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (PyngrokNgrokInstallError("no network"), "https://ngrok.com/download"),
        (PyngrokNgrokError("failed", [], "ERR_NGROK_105: bad token"), "NGROK_AUTH_TOKEN"),
        (PyngrokNgrokError("authentication failed: x", [], ""), "NGROK_AUTH_TOKEN"),
        (PyngrokNgrokError("failed", [], "ERR_NGROK_108"), "End the other tunnel"),
        (PyngrokError("anything"), "ngrok http 5000"),
    ],
)
def test_every_failure_is_one_line_that_says_what_to_do(error: PyngrokError, advice: str) -> None:
    text = explain(error)
    assert advice in text
    assert "PUBLIC_URL" in text
    assert "\n" not in text


async def test_a_tunnel_that_does_not_come_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stuck = threading.Event()
    monkeypatch.setattr(ngrok, "connect", lambda *_, **__: stuck.wait(10))
    with pytest.raises(NoTunnel, match=r"not up within 0\.05 s"):
        await open_tunnel(5000, "token", timeout_s=0.05)
    stuck.set()


async def test_a_refused_token_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PyngrokNgrokError("failed", [], "ERR_NGROK_107")

    monkeypatch.setattr(ngrok, "connect", refuse)
    with pytest.raises(NoTunnel, match="refused NGROK_AUTH_TOKEN"):
        await open_tunnel(5000, "secret-token", timeout_s=5)


async def test_a_program_that_can_not_be_installed_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ngrok, "connect", fail)
    with pytest.raises(NoTunnel, match="could not be started or installed"):
        await open_tunnel(5000, "secret-token", timeout_s=5)


async def test_a_tunnel_is_known_by_its_https_url(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opened:
        public_url = "http://abc.ngrok.example/"

    killed: list[object] = []
    monkeypatch.setattr(ngrok, "connect", lambda *_, **__: Opened())
    monkeypatch.setattr(ngrok, "kill", killed.append)
    tunnel = await open_tunnel(5000, "token", timeout_s=5)
    assert tunnel.url == "https://abc.ngrok.example"
    tunnel.close()
    assert len(killed) == 1
