"""`parley-dialer campaign`: make campaigns, run them, and see what came of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from services.dialer.cli import campaign_upload, campaign_watch
from services.dialer.cli.campaign_options import add_change_options, changes_of
from services.dialer.cli.failure import CommandFailed, Exit
from services.dialer.cli.listing import Listing
from services.dialer.cli.screen import Column, counted, moment
from services.dialer.cli.session import Session, Subparsers, add_paging, command, group
from services.dialer.cli.upload import open_for_writing

_COLUMNS = (
    Column("campaign", is_whole=True),
    Column("name"),
    Column("state"),
    Column("ended", is_number=True),
    Column("total", is_number=True),
    Column("created", is_extra=True),
    Column("outcomes", is_extra=True),
)
_ROW_COLUMNS = (
    Column("row", is_number=True),
    Column("number", is_whole=True),
    Column("state"),
    Column("outcome"),
    Column("tries", is_number=True),
    Column("due"),
    Column("call", is_whole=True, is_extra=True),
)
_GOING = ("start", "resume")
_STATES = ("ready", "running", "paused", "finished", "cancelled")


def add_parser(subparsers: Subparsers) -> None:
    """Add these commands."""
    commands = group(subparsers, "campaign", "make campaigns and run them")
    campaign_upload.add_parsers(commands)
    for verb, help_text in (
        ("start", "start dialling"),
        ("pause", "dial nobody further; calls that are up go on"),
        ("resume", "go on dialling"),
        ("cancel", "dial nobody further, for good"),
    ):
        moving = command(commands, verb, partial(act, verb=verb), help_text)
        moving.add_argument("campaign", metavar="ID")
        if verb in _GOING:
            moving.add_argument(
                "--accept-incomplete",
                action="store_true",
                help="though rows of a list were not added; they are not waited for any more",
            )
    changing = command(commands, "change", change, "change a campaign's pace and rules")
    changing.add_argument("campaign", metavar="ID")
    add_change_options(changing)
    listing = command(commands, "list", list_campaigns, "list campaigns")
    listing.add_argument("--state", choices=_STATES)
    add_paging(listing)
    command(commands, "show", show, "show how a campaign stands").add_argument(
        "campaign", metavar="ID"
    )
    campaign_watch.add_parser(commands)
    rows = command(commands, "rows", list_rows, "list a campaign's rows")
    rows.add_argument("campaign", metavar="ID")
    rows.add_argument("--state", choices=("waiting", "leased", "asking", "placed", "ended"))
    rows.add_argument("--outcome", help="as answered, busy, no_answer")
    add_paging(rows)
    results = command(commands, "results", save_results, "write a campaign's results as CSV")
    results.add_argument("campaign", metavar="ID")
    results.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: stdout")
    removal = command(commands, "remove", remove, "forget a finished or cancelled campaign")
    removal.add_argument("campaign", metavar="ID")


def campaign_path(campaign_id: str, action: str = "") -> str:
    """Return the path of a campaign, or of something of it."""
    return f"/v1/campaigns/{quote(campaign_id, safe='')}{f'/{action}' if action else ''}"


def campaign_facts(campaign: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return what people want to know of a campaign."""
    estimate_s = campaign.get("estimate_s")
    return [
        ("campaign", campaign.get("id")),
        ("name", campaign.get("name")),
        ("agent", campaign.get("agent")),
        ("state", campaign.get("state")),
        ("reason", campaign.get("reason")),
        ("rows", campaign.get("total")),
        ("incomplete", campaign_watch.spell_incomplete(campaign.get("incomplete"))),
        ("waiting", campaign.get("waiting")),
        ("dialling", campaign.get("dialling")),
        ("in call", campaign.get("in_call")),
        ("ended", campaign.get("ended")),
        ("outcomes", counted(campaign.get("outcomes"))),
        ("tries", counted(campaign.get("tries"))),
        ("calls per second", campaign.get("cps")),
        ("calls at once", campaign.get("concurrency")),
        ("priority", campaign.get("priority")),
        ("dialled a minute", campaign.get("dialled_per_minute")),
        ("next row due", moment(campaign.get("next_due_at"))),
        ("time left", campaign_watch.spell_duration(estimate_s)),
        ("created", moment(campaign.get("created_at"))),
        ("started", moment(campaign.get("started_at"))),
        ("finished", moment(campaign.get("finished_at"))),
    ]


async def act(args: argparse.Namespace, session: Session, *, verb: str) -> int:
    """Start, pause, resume or cancel."""
    action = verb
    if verb in _GOING and args.accept_incomplete:
        action = f"{verb}?accept_incomplete=true"
    campaign = await session.dialer.send("POST", campaign_path(args.campaign, action))
    if session.screen.is_json:
        session.screen.document(campaign)
    session.screen.say(f"{campaign.get('name') or args.campaign}: {campaign.get('state')}.")
    return Exit.DONE


async def change(args: argparse.Namespace, session: Session) -> int:
    """Change pace and rules."""
    changes = changes_of(args)
    if not changes:
        raise CommandFailed(Exit.MISUSED, "What to change? Give an option, as --cps 2.")
    campaign = await session.dialer.send("PATCH", campaign_path(args.campaign), changes)
    if session.screen.is_json:
        session.screen.document(campaign)
    session.screen.say(f"Changed: {', '.join(sorted(changes))}.")
    return Exit.DONE


async def list_campaigns(args: argparse.Namespace, session: Session) -> int:
    """List campaigns."""
    listing = Listing("campaigns", _COLUMNS, _campaign_row)
    return await listing.show(args, session, "/v1/campaigns", {"state": args.state})


def _campaign_row(campaign: dict[str, Any]) -> tuple[object, ...]:
    return (
        campaign.get("id"),
        campaign.get("name"),
        campaign.get("state"),
        campaign.get("ended"),
        campaign.get("total"),
        moment(campaign.get("created_at"))[:16],
        counted(campaign.get("outcomes")),
    )


async def show(args: argparse.Namespace, session: Session) -> int:
    """Show how a campaign stands."""
    campaign = await session.dialer.get(campaign_path(args.campaign))
    if session.screen.is_json:
        session.screen.document(campaign)
        return Exit.DONE
    session.screen.facts(campaign_facts(campaign))
    return Exit.DONE


async def list_rows(args: argparse.Namespace, session: Session) -> int:
    """List rows."""
    wanted = {"state": args.state, "outcome": args.outcome}
    path = campaign_path(args.campaign, "rows")
    return await Listing("rows", _ROW_COLUMNS, _row).show(args, session, path, wanted)


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    return (
        row.get("n"),
        row.get("to"),
        row.get("state"),
        row.get("outcome"),
        row.get("attempts"),
        moment(row.get("due_at"))[5:16],
        row.get("call_id"),
    )


async def save_results(args: argparse.Namespace, session: Session) -> int:
    """Write results, as they come, to a file or stdout."""
    path = campaign_path(args.campaign, "results.csv")
    async with session.dialer.download(path) as parts:
        if args.output is None:
            async for part in parts:
                session.screen.raw_bytes(part)
            return Exit.DONE
        with (
            open_for_writing(args.output) as file,
            session.screen.transfer(args.output.name, None) as bar,
        ):
            async for part in parts:
                file.write(part)
                bar.advance(len(part))
    session.screen.tell(f"Written to {args.output}.")
    return Exit.DONE


async def remove(args: argparse.Namespace, session: Session) -> int:
    """Forget a campaign."""
    await session.dialer.send("DELETE", campaign_path(args.campaign))
    session.screen.say("Removed.")
    if session.screen.is_json:
        session.screen.document({"id": args.campaign, "removed": True})
    return Exit.DONE
