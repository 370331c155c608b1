"""Place an outbound call from the shell.

    python make_call.py --to +918000000002 --from +918000000001
    python make_call.py --to +918000000002 --answer-url https://voice.example.com/answer

The call goes through the dialer when one answers at DIALER_URL (default: this machine, port
DIALER_PORT), which keeps a record of it. With --answer-url or --host, or without a dialer, Vobiz
is asked directly with VOBIZ_AUTH_ID and VOBIZ_AUTH_TOKEN. Numbers default to FROM_NUMBER and
TO_NUMBER. Settings come from the environment or `.env`.

Exit status: 0 dialled, 1 not dialled, 2 something is missing, 3 nobody knows.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.dialer.calls.order import check_order
from services.dialer.errors import InvalidOrder
from shared.vobiz.account import VobizAccount
from shared.vobiz.client import open_vobiz
from shared.vobiz.errors import VobizFailure

_DIALLED, _REFUSED, _INCOMPLETE, _UNKNOWN = 0, 1, 2, 3
_DIALER_TIMEOUT_S = 30.0
_FOLLOW_EVERY_S = 1.0
_FINAL = {"completed", "busy", "failed", "timeout", "no-answer", "cancel"}


class MakeCallSettings(BaseSettings):
    """What this command reads; the names are the services' own."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    from_number: str | None = None
    to_number: str | None = None
    dialer_url: str | None = None
    dialer_port: int = Field(5002, ge=1, le=65535)
    dialer_api_key: SecretStr | None = None
    public_url: str | None = None
    gateway_path_secret: SecretStr | None = None
    vobiz_auth_id: str | None = None
    vobiz_auth_token: SecretStr | None = None
    vobiz_api_base: str = "https://api.vobiz.ai/api/v1"

    @property
    def dialer_base(self) -> str:
        """Where the dialer is."""
        return (self.dialer_url or f"http://127.0.0.1:{self.dialer_port}").rstrip("/")


class CallFailed(Exception):
    """The call was not placed, or nobody knows; `status` is the exit status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings = MakeCallSettings()
    except ValidationError as exc:
        names = ", ".join(str(fault["loc"][-1]).upper() for fault in exc.errors())
        return _fail(CallFailed(_INCOMPLETE, f"These settings are wrong: {names}."))
    try:
        return asyncio.run(_run(options, settings))
    except CallFailed as exc:
        return _fail(exc)
    except KeyboardInterrupt:
        return 130


def _fail(error: CallFailed) -> int:
    print(f"Error: {error}", file=sys.stderr)
    return error.status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Place an outbound call.")
    parser.add_argument("--to", help="number to dial, as +918000000002 (default: TO_NUMBER)")
    parser.add_argument(
        "--from", dest="caller", help="your Vobiz number to call from (default: FROM_NUMBER)"
    )
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--answer-url", help="URL Vobiz fetches on answer; goes past the dialer")
    target.add_argument("--host", help="public host or URL of the gateway; goes past the dialer")
    parser.add_argument("--agent", help="the agent that talks (through the dialer)")
    parser.add_argument(
        "--metadata",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="kept with the call's record (through the dialer); may be repeated",
    )
    parser.add_argument("--follow", action="store_true", help="report until the call has ended")
    return parser


async def _run(options: argparse.Namespace, settings: MakeCallSettings) -> int:
    to, caller = options.to or settings.to_number, options.caller or settings.from_number
    if not to:
        raise CallFailed(_INCOMPLETE, "Whom to call? Give --to or set TO_NUMBER.")
    if not caller:
        raise CallFailed(_INCOMPLETE, "Which number to call from? Give --from or set FROM_NUMBER.")
    order: dict[str, Any] = {"to": to, "from": caller}
    if options.agent:
        order["agent"] = options.agent
    if options.metadata:
        order["metadata"] = _metadata(options.metadata)
    if not (options.answer_url or options.host):
        async with httpx.AsyncClient(
            base_url=settings.dialer_base, timeout=_DIALER_TIMEOUT_S, trust_env=False
        ) as dialer:
            if await _answers(dialer):
                return await _by_dialer(dialer, order, settings, follow=options.follow)
        print(f"No dialer answers at {settings.dialer_base}; asking Vobiz directly.")
    if options.agent or options.metadata or options.follow:
        raise CallFailed(
            _INCOMPLETE, "--agent, --metadata and --follow need the dialer: start it first."
        )
    return await _directly(to, caller, _answer_url(options, settings), settings)


def _metadata(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise CallFailed(_INCOMPLETE, f"--metadata wants KEY=VALUE, not {pair!r}.")
        found[key] = value
    return found


# --- through the dialer -------------------------------------------------------------------------


async def _answers(dialer: httpx.AsyncClient) -> bool:
    try:
        return (await dialer.get("/healthz", timeout=2.0)).status_code == 200
    except httpx.HTTPError:
        return False


async def _by_dialer(
    dialer: httpx.AsyncClient, order: dict[str, Any], settings: MakeCallSettings, *, follow: bool
) -> int:
    headers = {}
    if settings.dialer_api_key is not None:
        headers["Authorization"] = f"Bearer {settings.dialer_api_key.get_secret_value()}"
    try:
        answer = await dialer.post("/v1/calls", json=order, headers=headers)
    except httpx.ConnectError as exc:
        raise CallFailed(_REFUSED, "The dialer went away; nothing was dialled.") from exc
    except httpx.HTTPError as exc:
        raise CallFailed(
            _UNKNOWN,
            "The dialer's answer was lost: the phone may be ringing. Look before retrying.",
        ) from exc
    body = _object(answer)
    if answer.status_code != 201:
        status = _UNKNOWN if body.get("verdict") in {"outcome_unknown", "platform_error"} else 1
        text = body.get("detail") or body.get("title") or f"The dialer said {answer.status_code}."
        raise CallFailed(status, str(text))
    print(f"Calling {body['to_number']} from {body['from_number']}.")
    print(f"  call id:   {body['call_id']}")
    print(f"  Vobiz id:  {body.get('call_uuid') or '(comes with the first webhook)'}")
    if not follow:
        print(f"  record:    {settings.dialer_base}/v1/calls/{body['call_id']}")
        return _DIALLED
    return await _follow(dialer, str(body["call_id"]), headers)


async def _follow(dialer: httpx.AsyncClient, call_id: str, headers: dict[str, str]) -> int:
    seen = ""
    while True:
        try:
            record = _object(await dialer.get(f"/v1/calls/{call_id}", headers=headers))
        except httpx.HTTPError as exc:
            raise CallFailed(_UNKNOWN, "The dialer went away; the call goes on.") from exc
        state = str(record.get("state", ""))
        if state and state != seen:
            print(f"  {state}")
            seen = state
        if state in _FINAL:
            reason, duration_s = record.get("end_reason"), record.get("duration_s")
            print(f"  ended: {reason}, {duration_s or 0:g} s, cause {record.get('hangup_cause')}")
            return _DIALLED
        await asyncio.sleep(_FOLLOW_EVERY_S)


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


# --- past the dialer ----------------------------------------------------------------------------


def _answer_url(options: argparse.Namespace, settings: MakeCallSettings) -> str:
    url = options.answer_url
    if not url:
        base = options.host or settings.public_url
        if not base:
            raise CallFailed(
                _INCOMPLETE,
                "Where does Vobiz find the gateway? Start the dialer, give --answer-url or --host,"
                " or set PUBLIC_URL.",
            )
        base = base if "://" in base else f"https://{base}"
        secret = settings.gateway_path_secret
        prefix = f"/{secret.get_secret_value()}" if secret is not None else ""
        url = f"{base.rstrip('/')}{prefix}/answer"
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise CallFailed(
            _INCOMPLETE, f"{url} is not a URL such as https://voice.example.com/answer"
        )
    return str(url)


def _call_body(to: str, caller: str, answer_url: str) -> dict[str, str | int]:
    body: dict[str, str | int] = {
        "from": caller,
        "to": to,
        "answer_url": answer_url,
        "answer_method": "POST",
    }
    parts = urlsplit(answer_url)
    # Without a hang-up URL of its own Vobiz posts the hang-up to the answer URL.
    if parts.path.endswith("/answer"):
        path = parts.path.removesuffix("/answer") + "/hangup"
        body["hangup_url"] = urlunsplit(parts._replace(path=path))
        body["hangup_method"] = "POST"
    return body


async def _directly(to: str, caller: str, answer_url: str, settings: MakeCallSettings) -> int:
    if not settings.vobiz_auth_id or settings.vobiz_auth_token is None:
        raise CallFailed(
            _INCOMPLETE,
            "Set VOBIZ_AUTH_ID and VOBIZ_AUTH_TOKEN (Vobiz console), or start the dialer.",
        )
    account = VobizAccount(
        settings.vobiz_auth_id,
        settings.vobiz_auth_token.get_secret_value(),
        settings.vobiz_api_base.rstrip("/"),
    )
    try:
        order = check_order(to=to, caller=caller, agent=None, metadata=None)
    except InvalidOrder as exc:
        raise CallFailed(_INCOMPLETE, f"--{exc.field} {exc.problem}.") from exc
    body = _call_body(order.to_number, order.from_number, answer_url)
    async with open_vobiz(account, timeout_s=20.0, connect_timeout_s=5.0) as vobiz:
        try:
            call_uuid = await vobiz.make_call(body)
        except VobizFailure as exc:
            status = _UNKNOWN if exc.verdict.may_have_dialled else _REFUSED
            raise CallFailed(status, str(exc)) from exc
    print(f"Calling {order.to_number} from {order.from_number}.")
    print(f"  Vobiz id:    {call_uuid or '(none given)'}")
    print(f"  answer URL:  {urlsplit(answer_url).scheme}://{urlsplit(answer_url).netloc}")
    return _DIALLED


if __name__ == "__main__":
    sys.exit(main())
