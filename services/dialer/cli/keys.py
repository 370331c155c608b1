"""`parley-dialer keys`, `audit` and `account`: who may ask, who asked, what there is to spend."""

from __future__ import annotations

import argparse
import re
from typing import Any
from urllib.parse import quote

from services.dialer.cli.failure import Exit
from services.dialer.cli.listing import Listing
from services.dialer.cli.screen import Column, moment
from services.dialer.cli.session import Session, Subparsers, add_paging, command, group, whole

_SCOPES = (
    *("calls:read", "calls:write", "campaigns:read", "campaigns:write"),
    *("numbers:read", "numbers:write", "keys:write", "audit:read"),
)
_COLUMNS = (
    Column("key", is_whole=True),
    Column("name"),
    Column("scopes"),
    Column("created"),
    Column("revoked"),
    Column("a minute", is_extra=True, is_number=True),
)
_AUDIT_COLUMNS = (
    Column("at", is_whole=True),
    Column("who"),
    Column("did"),
    Column("to"),
    Column("status", is_number=True),
)


def add_parser(subparsers: Subparsers) -> None:
    """Add these commands."""
    commands = group(subparsers, "keys", "give out keys of the dialer's API and revoke them")
    creating = command(commands, "create", create, "make a key, which is shown once")
    creating.add_argument("name", metavar="NAME", help="who it is for")
    creating.add_argument(
        "--scope",
        action="append",
        required=True,
        metavar="SCOPE",
        help=f"what it may do; may be repeated: {', '.join(_SCOPES)}",
    )
    creating.add_argument(
        "--rate-per-minute", type=whole(1, 1_000_000), metavar="N", help="most requests"
    )
    add_paging(command(commands, "list", list_keys, "list keys"))
    command(commands, "revoke", revoke, "make a key useless").add_argument("key", metavar="ID")
    add_paging(command(subparsers, "audit", audit, "list who did what, newest first"))
    command(subparsers, "account", account, "show the Vobiz account's balance and limits")


async def create(args: argparse.Namespace, session: Session) -> int:
    """Make a key."""
    body: dict[str, Any] = {"name": args.name, "scopes": args.scope}
    if args.rate_per_minute is not None:
        body["rate_per_minute"] = args.rate_per_minute
    made = await session.dialer.send("POST", "/v1/keys", body)
    if session.screen.is_json:
        session.screen.document(made)
        return Exit.DONE
    session.screen.facts(
        [
            ("id", made.get("id")),
            ("scopes", made.get("scopes") or args.scope),
            ("key", made.get("key")),
        ]
    )
    session.screen.tell("The key is not shown again.")
    return Exit.DONE


async def list_keys(args: argparse.Namespace, session: Session) -> int:
    """List keys."""
    return await Listing("keys", _COLUMNS, _key_row).show(args, session, "/v1/keys")


def _key_row(key: dict[str, Any]) -> tuple[object, ...]:
    return (
        key.get("id"),
        key.get("name"),
        key.get("scopes"),
        moment(key.get("created_at"))[:10],
        moment(key.get("revoked_at"))[:10],
        key.get("rate_per_minute"),
    )


async def revoke(args: argparse.Namespace, session: Session) -> int:
    """Make a key useless."""
    await session.dialer.send("DELETE", f"/v1/keys/{quote(args.key, safe='')}")
    session.screen.say("Revoked.")
    if session.screen.is_json:
        session.screen.document({"id": args.key, "revoked": True})
    return Exit.DONE


async def audit(args: argparse.Namespace, session: Session) -> int:
    """List who did what."""
    return await Listing("entries", _AUDIT_COLUMNS, _audit_row).show(args, session, "/v1/audit")


async def account(args: argparse.Namespace, session: Session) -> int:
    """Show balance and limits."""
    found = await session.dialer.get("/v1/account")
    if session.screen.is_json:
        session.screen.document(found)
        return Exit.DONE
    session.screen.facts(
        [
            ("balance", _spendable(found)),
            ("calls per second", found.get("cps")),
            ("of these at present", found.get("pace")),
            ("calls at once", found.get("concurrency")),
            ("in use", found.get("in_use")),
            ("held until", moment(found.get("held_until"))),
            ("free agents", found.get("free_agents")),
        ]
    )
    return Exit.DONE


def _spendable(account: dict[str, Any]) -> str | None:
    balance, currency = account.get("balance"), account.get("currency") or ""
    if not isinstance(balance, int | float):
        return None
    return f"{balance:.2f} {currency}".strip()


def _audit_row(entry: dict[str, Any]) -> tuple[object, ...]:
    return (
        moment(entry.get("at")),
        entry.get("principal"),
        _deed(str(entry.get("action") or "")),
        entry.get("subject"),
        entry.get("status"),
    )


def _deed(action: str) -> str:
    """Return `POST campaigns/start` of `POST /v1/campaigns/{campaign_id}/start`."""
    return re.sub(r"/\{[^}]*\}", "", action).replace(" /v1/", " ")
