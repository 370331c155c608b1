"""`make_call.py`: place an outbound call as in Vobiz' guide, with a dialer or without one."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from services.dialer.calls.order import check_order
from services.dialer.cli.call import tell_placed
from services.dialer.cli.client import DialerClient, open_dialer
from services.dialer.cli.failure import CommandFailed, Exit
from services.dialer.cli.follow import follow_call
from services.dialer.cli.gateway import find_public_url
from services.dialer.cli.gateway_urls import base_url, parts_of, webhooks_of
from services.dialer.cli.screen import Screen
from services.dialer.cli.session import pairs
from services.dialer.cli.settings import CliSettings, read_settings
from services.dialer.errors import InvalidOrder
from shared.vobiz.client import open_vobiz
from shared.vobiz.errors import VobizFailure

_VOBIZ_TIMEOUT_S = 20.0
_VOBIZ_CONNECT_S = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    options = _parser().parse_args(arguments)
    screen = Screen(sys.stdout, sys.stderr)
    try:
        return asyncio.run(run(options, read_settings(), screen))
    except CommandFailed as exc:
        screen.tell(f"Error: {exc}")
        return exc.status
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make_call.py", description="Place an outbound call.")
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


async def run(options: argparse.Namespace, settings: CliSettings, screen: Screen) -> int:
    """Place the call by the dialer, or past it.

    Raises:
        CommandFailed: it was not placed, or nobody knows.
    """
    to, caller = options.to or settings.to_number, options.caller or settings.from_number
    if not to:
        raise CommandFailed(Exit.MISUSED, "Whom to call? Give --to or set TO_NUMBER.")
    if not caller:
        raise CommandFailed(
            Exit.MISUSED, "Which number to call from? Give --from or set FROM_NUMBER."
        )
    if not (options.answer_url or options.host):
        async with open_dialer(settings) as dialer:
            if await dialer.answers():
                order = _order(options, to, caller)
                return await _by_dialer(dialer, order, screen, follow=options.follow)
            screen.say(f"No dialer answers at {dialer.base}; asking Vobiz directly.")
    if options.agent or options.metadata or options.follow:
        raise CommandFailed(
            Exit.MISUSED, "--agent, --metadata and --follow need the dialer: start it first."
        )
    return await _directly(to, caller, await _answer_url(options, settings), settings, screen)


# --- through the dialer -------------------------------------------------------------------------


def _order(options: argparse.Namespace, to: str, caller: str) -> dict[str, Any]:
    order: dict[str, Any] = {"to": to, "from": caller}
    if options.agent:
        order["agent"] = options.agent
    if options.metadata:
        order["metadata"] = pairs(options.metadata, "--metadata")
    return order


async def _by_dialer(
    dialer: DialerClient, order: dict[str, Any], screen: Screen, *, follow: bool
) -> int:
    record = await dialer.send("POST", "/v1/calls", order)
    tell_placed(screen, record)
    if follow:
        await follow_call(dialer, screen, str(record.get("call_id")))
    else:
        screen.say(f"  record:    {dialer.base}/v1/calls/{record.get('call_id')}")
    return Exit.DONE


# --- past the dialer ----------------------------------------------------------------------------


async def _answer_url(options: argparse.Namespace, settings: CliSettings) -> str:
    if options.answer_url:
        if parts_of(options.answer_url) is None:
            raise CommandFailed(
                Exit.MISUSED,
                f"{options.answer_url} is not a URL such as https://voice.example.com/answer",
            )
        return str(options.answer_url)
    if options.host:
        base: str | None = base_url(options.host, "--host")
    else:
        base = await find_public_url(settings)
    if base is None:
        raise CommandFailed(
            Exit.MISUSED,
            "Where does Vobiz find the gateway? Start it, give --answer-url or --host, or set"
            " PUBLIC_URL.",
        )
    return webhooks_of(base, settings.path_secret).answer


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


async def _directly(
    to: str, caller: str, answer_url: str, settings: CliSettings, screen: Screen
) -> int:
    if settings.account is None:
        raise CommandFailed(
            Exit.MISUSED,
            "Set VOBIZ_AUTH_ID and VOBIZ_AUTH_TOKEN (Vobiz console), or start the dialer.",
        )
    try:
        order = check_order(to=to, caller=caller, agent=None, metadata=None)
    except InvalidOrder as exc:
        raise CommandFailed(Exit.MISUSED, f"--{exc.field} {exc.problem}.") from exc
    body = _call_body(order.to_number, order.from_number, answer_url)
    async with open_vobiz(
        settings.account, timeout_s=_VOBIZ_TIMEOUT_S, connect_timeout_s=_VOBIZ_CONNECT_S
    ) as vobiz:
        try:
            call_uuid = await vobiz.make_call(body)
        except VobizFailure as exc:
            status = Exit.UNKNOWN if exc.verdict.may_have_dialled else Exit.REFUSED
            raise CommandFailed(status, str(exc)) from exc
    screen.say(f"Calling {order.to_number} from {order.from_number}.")
    screen.say(f"  Vobiz id:    {call_uuid or '(none given)'}")
    screen.say(f"  answer URL:  {urlsplit(answer_url).scheme}://{urlsplit(answer_url).netloc}")
    return Exit.DONE
