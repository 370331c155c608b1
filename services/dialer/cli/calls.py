"""`parley-dialer calls`: look at calls and act on those that are up."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from services.dialer.cli.failure import CommandFailed, Exit
from services.dialer.cli.follow import follow_call
from services.dialer.cli.listing import Listing
from services.dialer.cli.screen import Column, moment
from services.dialer.cli.session import Session, Subparsers, add_paging, command, group

_COLUMNS = (
    Column("call", is_whole=True),
    Column("with", is_whole=True),
    Column("state"),
    Column("created"),
    Column("agent", is_extra=True),
    Column("end", is_extra=True),
    Column("seconds", is_extra=True, is_number=True),
)
_STATES = (
    *("queued", "ringing", "in-progress"),
    *("completed", "busy", "failed", "timeout", "no-answer", "cancel"),
)


def add_parser(subparsers: Subparsers) -> None:
    """Add these commands."""
    commands = group(subparsers, "calls", "look at calls and act on them")
    listing = command(commands, "list", list_calls, "list calls, newest first")
    listing.add_argument("--state", choices=_STATES)
    listing.add_argument("--direction", choices=("inbound", "outbound"))
    listing.add_argument("--agent", help="the agent that talks")
    listing.add_argument("--campaign", help="id of the campaign they are of")
    listing.add_argument("--to", help="the number called")
    add_paging(listing)
    for name, run, help_text in (
        ("show", show, "show a call's record"),
        ("follow", follow, "report a call until it has ended"),
        ("hang-up", hang_up, "end a call"),
    ):
        command(commands, name, run, help_text).add_argument("call", metavar="ID")
    moving = command(commands, "transfer", transfer, "have a call go on elsewhere")
    moving.add_argument("call", metavar="ID")
    target = moving.add_mutually_exclusive_group(required=True)
    target.add_argument("--to", help="a number, as +918000000002")
    target.add_argument("--to-url", help="a URL of answer XML")
    pressing = command(commands, "dtmf", dtmf, "press keys on a call")
    pressing.add_argument("call", metavar="ID")
    pressing.add_argument("digits", metavar="KEYS", help="0-9 * # A-D; w and W wait")
    saying = command(commands, "speak", speak, "say something on a call, by Vobiz' voice")
    saying.add_argument("call", metavar="ID")
    saying.add_argument("text", metavar="TEXT")
    saying.add_argument("--voice", help="as Vobiz names it")
    saying.add_argument("--language", help="as en-US")


async def list_calls(args: argparse.Namespace, session: Session) -> int:
    """List calls."""
    wanted = {
        name: getattr(args, name) for name in ("state", "direction", "agent", "campaign", "to")
    }
    return await Listing("calls", _COLUMNS, _row).show(args, session, "/v1/calls", wanted)


async def show(args: argparse.Namespace, session: Session) -> int:
    """Show a record."""
    record = await session.dialer.get(_path(args.call))
    if session.screen.is_json:
        session.screen.document(record)
        return Exit.DONE
    session.screen.facts(_facts(record))
    return Exit.DONE


async def follow(args: argparse.Namespace, session: Session) -> int:
    """Report a call's states."""
    await follow_call(session.dialer, session.screen, args.call)
    return Exit.DONE


async def hang_up(args: argparse.Namespace, session: Session) -> int:
    """End a call."""
    await session.dialer.send("DELETE", _path(args.call))
    return _done(session, args.call, "Hung up.")


async def transfer(args: argparse.Namespace, session: Session) -> int:
    """Have a call go on elsewhere."""
    body = {"url": args.to_url} if args.to_url else {"to": args.to}
    await session.dialer.send("POST", _path(args.call, "transfer"), body)
    return _done(session, args.call, "Transferred.")


async def dtmf(args: argparse.Namespace, session: Session) -> int:
    """Press keys."""
    await session.dialer.send("POST", _path(args.call, "dtmf"), {"digits": args.digits})
    return _done(session, args.call, "Pressed.")


async def speak(args: argparse.Namespace, session: Session) -> int:
    """Say something."""
    if not args.text.strip():
        raise CommandFailed(Exit.MISUSED, "There is nothing to say.")
    body = {"text": args.text, "voice": args.voice, "language": args.language}
    given = {name: value for name, value in body.items() if value is not None}
    await session.dialer.send("POST", _path(args.call, "speak"), given)
    return _done(session, args.call, "Said.")


def _done(session: Session, call_id: str, text: str) -> int:
    session.screen.say(text)
    if session.screen.is_json:
        session.screen.document({"call_id": call_id, "done": True})
    return Exit.DONE


def _path(call_id: str, action: str = "") -> str:
    return f"/v1/calls/{quote(call_id, safe='')}{f'/{action}' if action else ''}"


def _row(record: dict[str, Any]) -> tuple[object, ...]:
    is_inbound = record.get("direction") == "inbound"
    return (
        record.get("call_id"),
        record.get("from_number" if is_inbound else "to_number"),
        record.get("state"),
        moment(record.get("created_at"))[5:16],
        record.get("agent"),
        record.get("end_reason"),
        record.get("duration_s"),
    )


_TIMES = ("created_at", "ringing_at", "answered_at", "ended_at")
_FIRST = (
    *("call_id", "call_uuid", "direction", "state", "from_number", "to_number", "agent"),
    *_TIMES,
    *("duration_s", "end_class", "end_reason", "hangup_cause", "hangup_source", "error"),
)


def _facts(record: dict[str, Any]) -> list[tuple[str, object]]:
    """Return a record's members, those first that one looks for, empty ones left out."""
    names = [*(name for name in _FIRST if name in record)]
    names += [name for name in record if name not in _FIRST]
    found: list[tuple[str, object]] = []
    for name in names:
        value = record[name]
        if name in _TIMES:
            value = moment(value)
        if value not in (None, "", {}, []):
            found.append((name.replace("_", " "), value))
    return found
