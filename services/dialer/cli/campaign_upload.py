"""`parley-dialer campaign create` and `add`: rows from CSV, sent as they are read."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

from services.dialer.cli.campaign_options import add_bad_row_option, add_create_options, spec_of
from services.dialer.cli.failure import CommandFailed, Exit, Refused
from services.dialer.cli.session import Session, Subparsers, command
from services.dialer.cli.upload import Source, open_for_reading, send_file, tell_bad_rows

_FILE_HELP = "CSV with a header line and a column `to`; -: stdin"


def add_parsers(commands: Subparsers) -> None:
    """Add these commands."""
    creating = command(commands, "create", create, "make a campaign, of the rows of a CSV file")
    creating.add_argument(
        "file", nargs="?", metavar="FILE", help=f"{_FILE_HELP}; none: no rows yet"
    )
    creating.add_argument("--start", action="store_true", help="start dialling at once")
    add_bad_row_option(creating)
    add_create_options(creating)
    adding = command(commands, "add", add, "add rows to a campaign, while it runs too")
    adding.add_argument("campaign", metavar="ID")
    adding.add_argument("file", metavar="FILE", help=_FILE_HELP)
    add_bad_row_option(adding)


async def create(args: argparse.Namespace, session: Session) -> int:
    """Make a campaign, then send its rows; it is started only once all are there.

    Where the rows are refused, the campaign is taken back.
    """
    with ExitStack() as stack:
        source = None
        if args.file is not None:  # opened before anything is made of it
            source = stack.enter_context(open_for_reading(args.file))
        default_name = Path(args.file).stem if args.file not in {None, "-"} else "campaign"
        spec = spec_of(args, session.settings.from_number, default_name)
        campaign = await session.dialer.send("POST", "/v1/campaigns", spec)
        campaign_id = str(campaign.get("id"))
        if source is not None:
            added = await _rows_of_new(session, campaign_id, source, args.on_bad_row)
            campaign = campaign | added
    if args.start:
        campaign = campaign | {"state": await _start(session, campaign_id)}
    if session.screen.is_json:
        session.screen.document(campaign)
        return Exit.DONE
    tell_bad_rows(session, campaign)
    session.screen.say(f"Campaign {campaign_id}, {campaign.get('state')}: {_counts(campaign)}.")
    if not args.start:
        session.screen.say(f"Start it: parley-dialer campaign start {campaign_id}")
    return Exit.DONE


async def _rows_of_new(
    session: Session, campaign_id: str, source: Source, on_bad_row: str | None
) -> dict[str, Any]:
    try:
        return await _send_rows(session, campaign_id, source, on_bad_row)
    except Refused as exc:
        tell_bad_rows(session, exc.problem)
        await _take_back(session, campaign_id)
        raise
    except CommandFailed as exc:
        raise CommandFailed(
            exc.status,
            f"{exc} The campaign {campaign_id} is not started; `campaign add` sends what it lacks.",
        ) from exc


async def _start(session: Session, campaign_id: str) -> object:
    try:
        return (await session.dialer.send("POST", f"{_path(campaign_id)}/start")).get("state")
    except CommandFailed as exc:
        raise CommandFailed(
            exc.status,
            f"{exc} The campaign {campaign_id} is made, and not started as far as known.",
        ) from exc


async def _take_back(session: Session, campaign_id: str) -> None:
    try:
        await session.dialer.send("POST", f"{_path(campaign_id)}/cancel")
        await session.dialer.send("DELETE", _path(campaign_id))
    except CommandFailed as exc:
        session.screen.tell(f"The campaign {campaign_id} is left without rows: {exc}")


async def add(args: argparse.Namespace, session: Session) -> int:
    """Add rows."""
    try:
        with open_for_reading(args.file) as source:
            answer = await _send_rows(session, args.campaign, source, args.on_bad_row)
    except Refused as exc:
        tell_bad_rows(session, exc.problem)
        raise
    if session.screen.is_json:
        session.screen.document(answer)
        return Exit.DONE
    tell_bad_rows(session, answer)
    session.screen.say(f"{_counts(answer).capitalize()}.")
    return Exit.DONE


async def _send_rows(
    session: Session, campaign_id: str, source: Source, on_bad_row: str | None
) -> dict[str, Any]:
    """Send the rows of a file; sent twice, a campaign takes each number once."""
    path = f"{_path(campaign_id)}/rows"
    return await send_file(session, path, source, {"on_bad_row": on_bad_row})


def _path(campaign_id: str) -> str:
    return f"/v1/campaigns/{quote(campaign_id, safe='')}"


def _counts(answer: Mapping[str, Any]) -> str:
    """Return how many rows came in, and how many did not."""
    added = answer.get("added")
    parts = [f"{added if added is not None else answer.get('total') or 0} rows"]
    for member, words in (("duplicates", "duplicates left out"), ("refused", "refused")):
        count = answer.get(member)
        if isinstance(count, int) and count:
            parts.append(f"{count} {words}")
    return ", ".join(parts)
