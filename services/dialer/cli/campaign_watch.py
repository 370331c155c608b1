"""`parley-dialer campaign watch`: how a campaign goes, until it is over."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from services.dialer.cli.campaign_news import campaign_news
from services.dialer.cli.failure import CommandFailed, Exit, Refused
from services.dialer.cli.screen import RowsBar, Screen, counted
from services.dialer.cli.session import Session, Subparsers, command

_OVER = {"finished": Exit.DONE, "cancelled": Exit.NO}
_MAX_FAILURES = 10
_LEAST_S = 0.1


def add_parser(commands: Subparsers) -> None:
    """Add this command."""
    parser = command(commands, "watch", watch, "show a campaign's progress until it is over")
    parser.add_argument("campaign", metavar="ID")
    parser.add_argument(
        "--every-s",
        type=float,
        default=1.0,
        metavar="S",
        help="between looks where the dialer gives no events (1)",
    )


async def watch(args: argparse.Namespace, session: Session) -> int:
    """Look at a campaign at each of its events until it is over; a pause is waited out."""
    path = f"/v1/campaigns/{quote(args.campaign, safe='')}"
    campaign = await session.dialer.get(path)
    screen = session.screen
    every_s = max(_LEAST_S, args.every_s)
    with screen.rows(str(campaign.get("name") or args.campaign)) as bar:
        async with campaign_news(session.dialer, args.campaign, every_s=every_s) as news:
            shown = ""
            while True:
                shown = _show(campaign, shown, screen, bar)
                state = str(campaign.get("state"))
                if state in _OVER:
                    break
                await news.wait()
                campaign = await _again(session, path)
    screen.say(f"{state}: {counted(campaign.get('outcomes')) or 'no calls'}")
    return _OVER[state]


def spell_duration(seconds: object) -> str | None:
    """Return a duration as 2 h 05 min, 3 min 20 s or 12 s; None for none."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return None
    whole_s = max(0, round(seconds))
    if whole_s >= 3600:
        return f"{whole_s // 3600} h {whole_s % 3600 // 60:02} min"
    if whole_s >= 60:
        return f"{whole_s // 60} min {whole_s % 60:02} s"
    return f"{whole_s} s"


def spell_incomplete(lists: object) -> str | None:
    """Return what a campaign says of lists that were not wholly added; None where all are there."""
    if not isinstance(lists, Mapping):
        return None
    lacks = f"{lists.get('missing')} of {lists.get('rows')} rows of a list are missing"
    if lists.get("is_being_added"):
        return f"{lacks}, and are being added"
    return f"{lacks}: send the list again"


async def _again(session: Session, path: str) -> dict[str, Any]:
    """Look again, through some failures: the campaign goes on without us."""
    for _ in range(_MAX_FAILURES):
        try:
            return await session.dialer.get(path)
        except Refused as exc:
            if exc.http_status < 500 and exc.http_status != 429:
                raise
        except CommandFailed:
            session.screen.tell("The dialer does not answer; trying again.")
        await asyncio.sleep(1.0)
    raise CommandFailed(Exit.UNKNOWN, "The dialer went away; the campaign is where it was.")


def _show(campaign: Mapping[str, Any], shown: str, screen: Screen, bar: RowsBar) -> str:
    """Show the present state: a bar, else a line or a document where it differs from the last."""
    if screen.is_terminal:
        bar.show(_count(campaign, "ended"), _count(campaign, "total"), _more(campaign))
        return shown
    line = _line(campaign)
    if line != shown:
        if screen.is_json:
            screen.document(campaign, is_line=True)
        screen.say(line)
    return line


def _line(campaign: Mapping[str, Any]) -> str:
    ended, total = _count(campaign, "ended"), _count(campaign, "total")
    return f"{campaign.get('state')}  {ended}/{total} ended, {_more(campaign)}"


def _more(campaign: Mapping[str, Any]) -> str:
    """Return what a bar does not show: calls that are up, a pause's reason, the time left."""
    up = _count(campaign, "in_call") + _count(campaign, "dialling")
    lists = campaign.get("incomplete")
    lacks = f"{lists.get('missing')} rows missing" if isinstance(lists, Mapping) else ""
    if campaign.get("state") == "paused":
        return f"paused: {lacks or campaign.get('reason') or 'by hand'}"
    left = spell_duration(campaign.get("estimate_s"))
    return f"{up} up{f', {left} left' if left else ''}{f', {lacks}' if lacks else ''}"


def _count(campaign: Mapping[str, Any], member: str) -> int:
    value = campaign.get(member)
    return value if isinstance(value, int) else 0
