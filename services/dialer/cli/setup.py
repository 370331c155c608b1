"""`parley-dialer setup`: point a Vobiz account's Application and number at the gateway.

Shows what it would change, and does it with --apply; a second run finds nothing to change.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict

import httpx

from services.dialer.cli.failure import CommandFailed, Exit
from services.dialer.cli.gateway import ask_gateway, find_public_url
from services.dialer.cli.gateway_urls import base_url, is_loopback, webhooks_of
from services.dialer.cli.screen import Column, Screen
from services.dialer.cli.session import Session, Subparsers, command
from services.dialer.cli.settings import CliSettings
from services.dialer.cli.setup_account import Standing, look_at, sentence_of
from services.dialer.cli.setup_plan import NotPossible, Plan, Wanted, make_plan
from shared.vobiz.applications import VobizSetup
from shared.vobiz.client import open_vobiz
from shared.vobiz.errors import VobizFailure

_TIMEOUT_S = 30.0
_CONNECT_S = 5.0


def add_parser(subparsers: Subparsers) -> None:
    """Add this command."""
    parser = command(
        subparsers, "setup", run, "point a Vobiz account's Application and number at the gateway"
    )
    parser.add_argument(
        "--public-url", help="the gateway as Vobiz reaches it (default: PUBLIC_URL, or ask it)"
    )
    parser.add_argument("--name", default="parley", help="the Application's name (parley)")
    parser.add_argument("--number", help="attach this number of the account, as +918000000001")
    parser.add_argument(
        "--take-over", action="store_true", help="even if another Application has the number"
    )
    parser.add_argument("--apply", action="store_true", help="do it; otherwise it is only shown")


async def run(args: argparse.Namespace, session: Session) -> int:
    """Look at the account, show what would change, and change it where that is asked for."""
    settings, screen = session.settings, session.screen
    base = await _public_url(args, settings)
    wanted = Wanted(
        args.name, webhooks_of(base, settings.path_secret), _number(args.number), args.take_over
    )
    if settings.account is None:
        raise CommandFailed(
            Exit.MISUSED, "Set VOBIZ_AUTH_ID and VOBIZ_AUTH_TOKEN, from the Vobiz console."
        )
    try:
        async with open_vobiz(
            settings.account,
            timeout_s=_TIMEOUT_S,
            connect_timeout_s=_CONNECT_S,
            user_agent="parley-dialer",
        ) as vobiz:
            return await _set_up(VobizSetup(vobiz), wanted, base, args, settings, screen)
    except VobizFailure as exc:
        raise CommandFailed(Exit.REFUSED, sentence_of(exc)) from exc


async def _set_up(
    vobiz: VobizSetup,
    wanted: Wanted,
    base: str,
    args: argparse.Namespace,
    settings: CliSettings,
    screen: Screen,
) -> int:
    standing = await look_at(vobiz, settings.dialer_balance_currency)
    warnings = [*standing.warnings(), *await _gateway_warnings(base, settings)]
    plan = await _plan(vobiz, wanted)
    is_applied = False
    if not screen.is_json:
        screen.facts(standing.facts())
        screen.say("")
        _show(plan, warnings, screen)
    if args.apply and plan.changes:
        await _apply(vobiz, plan)
        rest = await _plan(vobiz, wanted)
        if rest.changes:
            raise CommandFailed(
                Exit.UNKNOWN,
                "Vobiz said yes, and shows something else: "
                + ", ".join(change.what for change in rest.changes),
            )
        is_applied = True
    _finish(standing, plan, warnings, screen, number=wanted.number, is_applied=is_applied)
    return Exit.DONE


async def _plan(vobiz: VobizSetup, wanted: Wanted) -> Plan:
    applications = await vobiz.applications()
    numbers = await vobiz.numbers() if wanted.number is not None else []
    try:
        return make_plan(wanted, applications, numbers)
    except NotPossible as exc:
        raise CommandFailed(Exit.REFUSED, str(exc)) from exc


async def _apply(vobiz: VobizSetup, plan: Plan) -> None:
    app_id = plan.app_id
    if app_id is None:
        app_id = await vobiz.create_application(plan.fields)
    elif plan.fields:
        await vobiz.change_application(app_id, plan.fields)
    if plan.attach is not None:
        await vobiz.attach(plan.attach, app_id)


def _show(plan: Plan, warnings: Sequence[str], screen: Screen) -> None:
    if plan.changes:
        columns = (Column("what"), Column("before"), Column("after"))
        screen.table(
            columns, ((change.what, change.before, change.after) for change in plan.changes)
        )
    for warning in warnings:
        screen.tell(f"Warning: {warning}")


def _finish(
    standing: Standing,
    plan: Plan,
    warnings: Sequence[str],
    screen: Screen,
    *,
    number: str | None,
    is_applied: bool,
) -> None:
    if screen.is_json:
        changes = [asdict(change) for change in plan.changes]
        screen.document(
            {
                "account": dict(standing.facts()),
                "changes": changes,
                "applied": is_applied,
                "warnings": list(warnings),
            }
        )
    elif not plan.changes:
        screen.say("Nothing to change.")
    elif is_applied:
        screen.say(f"Done: calls to {number} go to the gateway." if number else "Done.")
    else:
        screen.say("Nothing was changed yet: run it again with --apply.")


async def _public_url(args: argparse.Namespace, settings: CliSettings) -> str:
    if args.public_url:
        return base_url(args.public_url, "--public-url")
    base = await find_public_url(settings)
    if base is None:
        raise CommandFailed(
            Exit.MISUSED,
            "Where does Vobiz find the gateway? Start it, give --public-url, or set PUBLIC_URL.",
        )
    return base


async def _gateway_warnings(base: str, settings: CliSettings) -> list[str]:
    found = []
    if not is_loopback(settings.api_base) and settings.vobiz_auth_id is not None:
        if is_loopback(base):
            found.append(f"{base} is this machine alone: Vobiz can't reach it.")
        elif base.startswith("http:"):
            found.append(f"{base} is not https: whoever is on the way hears and changes calls.")
        if settings.path_secret is None:
            found.append(
                "GATEWAY_PATH_SECRET is not set: fine as long as Vobiz signs this account's"
                " webhooks."
            )
    try:
        news = await ask_gateway(base)
    except httpx.HTTPError as exc:
        words = str(exc) or type(exc).__name__
        found.append(f"no gateway answers at {base}/readyz ({words}): calls would fail.")
    else:
        if not news.is_ready:
            found.append(f"the gateway at {base} answers, and is not ready for calls.")
    return found


def _number(text: str | None) -> str | None:
    """Return a number as Vobiz lists it: +E.164."""
    if text is None:
        return None
    digits = "".join(sign for sign in text if sign not in " .-()")
    if not digits.removeprefix("+").isdecimal() or not digits.isascii():
        raise CommandFailed(Exit.MISUSED, "--number wants a number such as +918000000001.")
    return f"+{digits.removeprefix('+')}"
