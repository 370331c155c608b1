"""`parley-dialer dnc`: the list of numbers that nobody may dial."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from services.dialer.cli.failure import Exit, Refused
from services.dialer.cli.listing import Listing
from services.dialer.cli.screen import Column, moment
from services.dialer.cli.session import Session, Subparsers, add_paging, command, group
from services.dialer.cli.upload import open_for_reading, send_file, tell_bad_rows

_PATH = "/v1/do-not-call"
_COLUMNS = (
    Column("number", is_whole=True),
    Column("since"),
    Column("reason"),
    Column("by", is_extra=True),
)


def add_parser(subparsers: Subparsers) -> None:
    """Add these commands."""
    commands = group(subparsers, "dnc", "keep the do-not-call list")
    adding = command(commands, "add", add, "put numbers on the list")
    adding.add_argument("numbers", nargs="+", metavar="NUMBER")
    adding.add_argument("--reason", help="kept beside them")
    importing = command(
        commands, "import", import_file, "put the numbers of a CSV file on the list"
    )
    importing.add_argument(
        "file", metavar="FILE", help="with a column number, and perhaps reason; -: stdin"
    )
    checking = command(commands, "check", check, "say whether a number is on the list (status 4)")
    checking.add_argument("number", metavar="NUMBER")
    removing = command(commands, "remove", remove, "take numbers off the list")
    removing.add_argument("numbers", nargs="+", metavar="NUMBER")
    add_paging(command(commands, "list", list_numbers, "show the list"))


async def add(args: argparse.Namespace, session: Session) -> int:
    """Put numbers on the list."""
    body: dict[str, Any] = {"numbers": args.numbers}
    if args.reason:
        body["reason"] = args.reason
    return _told(session, await session.dialer.send("POST", _PATH, body))


async def import_file(args: argparse.Namespace, session: Session) -> int:
    """Put a file's numbers on the list."""
    try:
        with open_for_reading(args.file) as source:
            answer = await send_file(session, _PATH, source)
    except Refused as exc:
        tell_bad_rows(session, exc.problem)
        raise
    return _told(session, answer)


async def check(args: argparse.Namespace, session: Session) -> int:
    """Look a number up."""
    try:
        entry = await session.dialer.get(_number_path(args.number))
    except Refused as exc:
        if exc.http_status != 404:
            raise
        entry = {}
    is_listed = bool(entry)
    if session.screen.is_json:
        session.screen.document({"number": args.number, "listed": is_listed, **entry})
    since = moment(entry.get("at"))
    reason = f": {entry['reason']}" if entry.get("reason") else ""
    session.screen.say(
        f"{args.number} is on the list{f' since {since}' if since else ''}{reason}."
        if is_listed
        else f"{args.number} is not on the list."
    )
    return Exit.NO if is_listed else Exit.DONE


async def remove(args: argparse.Namespace, session: Session) -> int:
    """Take numbers off the list."""
    for number in args.numbers:
        await session.dialer.send("DELETE", _number_path(number))
        session.screen.say(f"{number} may be called again.")
    if session.screen.is_json:
        session.screen.document({"removed": args.numbers})
    return Exit.DONE


async def list_numbers(args: argparse.Namespace, session: Session) -> int:
    """Show the list."""
    return await Listing("numbers", _COLUMNS, _row).show(args, session, _PATH)


def _row(entry: dict[str, Any]) -> tuple[object, ...]:
    return (
        entry.get("number") or entry.get("value"),
        moment(entry.get("at"))[:16],
        entry.get("reason"),
        entry.get("by"),
    )


def _told(session: Session, answer: dict[str, Any]) -> int:
    if session.screen.is_json:
        session.screen.document(answer)
        return Exit.DONE
    tell_bad_rows(session, answer)
    counts = [
        f"{answer[name]} {words}"
        for name, words in (
            ("added", "added"),
            ("already", "already there"),
            ("refused", "refused"),
        )
        if answer.get(name) or name == "added"
    ]
    session.screen.say(f"{', '.join(counts)}.")
    return Exit.DONE


def _number_path(number: str) -> str:
    return f"{_PATH}/{quote(number, safe='')}"
