"""Under which URL Vobiz reaches this gateway: the configured one, or a tunnel's.

pyngrok blocks, may download the ngrok program, and has its own idea of errors: it runs in a thread
of its own that nobody waits for beyond a bound, and every failure becomes one line that says what
to do.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import structlog
from pyngrok import conf, ngrok
from pyngrok.exception import PyngrokError, PyngrokNgrokError, PyngrokNgrokInstallError

_log = structlog.get_logger(__name__)
_REFUSED_SIGNS = ("ERR_NGROK_105", "ERR_NGROK_106", "ERR_NGROK_107", "authentication failed")
_SESSIONS_SIGN = "ERR_NGROK_108"
_REQUEST_S = 4.0


class NoTunnel(Exception):
    """There is no tunnel; the text is for the operator."""


class Tunnel:
    """An ngrok tunnel to a local port."""

    def __init__(self, url: str, close: Callable[[], None]) -> None:
        self.url = url
        self._close = close

    def close(self) -> None:
        """End the tunnel and its program."""
        self._close()


async def open_tunnel(port: int, auth_token: str, *, timeout_s: float) -> Tunnel:
    """Open a tunnel.

    Raises:
        NoTunnel: whatever the reason.
    """
    settings = conf.PyngrokConfig(
        auth_token=auth_token,
        startup_timeout=max(1, int(timeout_s)),
        request_timeout=_REQUEST_S,
        # The program's monitor thread would keep its log, and with it every URL, in memory.
        monitor_thread=False,
    )
    try:
        async with asyncio.timeout(timeout_s):
            url = await _in_own_thread(lambda: _connect(port, settings))
    except TimeoutError:
        raise NoTunnel(
            f"The ngrok tunnel was not up within {timeout_s:g} s. Check that this machine reaches"
            " the internet and that ngrok is installed (https://ngrok.com/download), or set"
            " PUBLIC_URL to a URL of your own."
        ) from None
    except PyngrokError as exc:
        raise NoTunnel(explain(exc)) from exc
    except OSError as exc:
        raise NoTunnel(
            f"ngrok could not be started or installed ({exc.strerror or type(exc).__name__})."
            " Install it from https://ngrok.com/download, or set PUBLIC_URL."
        ) from exc
    return Tunnel(url, lambda: ngrok.kill(settings))


def _connect(port: int, settings: conf.PyngrokConfig) -> str:
    tunnel = ngrok.connect(str(port), "http", pyngrok_config=settings)
    url = tunnel.public_url or ""
    return url.replace("http://", "https://", 1).rstrip("/")


def explain(error: PyngrokError) -> str:
    """Return one line for the operator; the token is never part of it."""
    if isinstance(error, PyngrokNgrokInstallError):
        return (
            "ngrok is not installed and could not be downloaded. Install it from"
            " https://ngrok.com/download, or set PUBLIC_URL."
        )
    text = str(error)
    if isinstance(error, PyngrokNgrokError) and error.ngrok_error:
        text += " " + error.ngrok_error
    if any(sign in text for sign in _REFUSED_SIGNS):
        return (
            "ngrok refused NGROK_AUTH_TOKEN. Copy the token from"
            " https://dashboard.ngrok.com/get-started/your-authtoken into .env, or set PUBLIC_URL."
        )
    if _SESSIONS_SIGN in text:
        return (
            "ngrok allows no further session for this account. End the other tunnel, or set"
            " PUBLIC_URL."
        )
    return (
        f"The ngrok tunnel could not be opened ({type(error).__name__}). Run `ngrok http 5000` to"
        " see why, or set PUBLIC_URL."
    )


async def _in_own_thread(work: Callable[[], str]) -> str:
    """Run a blocking call in a thread that does not keep the process alive when it is stuck."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[str] = loop.create_future()

    def set_outcome(outcome: str | Exception) -> None:
        if done.done():
            return
        if isinstance(outcome, Exception):
            done.set_exception(outcome)
        else:
            done.set_result(outcome)

    def run() -> None:
        outcome: str | Exception
        try:
            outcome = work()
        except Exception as exc:  # noqa: BLE001 - handed to the waiter, who knows the kinds
            outcome = exc
        try:
            loop.call_soon_threadsafe(set_outcome, outcome)
        except RuntimeError:
            _log.debug("tunnel_came_too_late")

    threading.Thread(target=run, name="ngrok", daemon=True).start()
    return await done
