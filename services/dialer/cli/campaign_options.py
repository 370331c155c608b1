"""What a campaign's options say, as the API has it."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.dialer.cli.call import add_call_options, add_text_pairs, call_options
from services.dialer.cli.failure import CommandFailed, Exit
from services.dialer.cli.session import pairs, whole

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"([0-2][0-9]:[0-5][0-9])-([0-2][0-9]:[0-5][0-9])")
_SPEC_MAX_BYTES = 1_048_576


def add_create_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a new campaign."""
    parser.add_argument("--name", help="what people call it (default: the file's name)")
    parser.add_argument("--agent", help="the agent that talks")
    parser.add_argument(
        "--from", dest="caller", help="number to call from (default: FROM_NUMBER, or the dialer's)"
    )
    parser.add_argument(
        "--spec", type=Path, metavar="FILE", help="JSON with any of this; options come first"
    )
    add_text_pairs(parser, "--var", "for the prompts of all rows")
    add_call_options(parser)
    add_change_options(parser)


def add_bad_row_option(parser: argparse.ArgumentParser) -> None:
    """Add the option of every list of rows."""
    parser.add_argument(
        "--on-bad-row",
        choices=("skip", "refuse"),
        help="leave out rows that can't be used (skip), or refuse all of them",
    )


def add_change_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that can be changed while a campaign runs."""
    parser.add_argument("--cps", type=float, metavar="N", help="calls per second")
    parser.add_argument("--concurrency", type=whole(1, 100_000), metavar="N", help="calls at once")
    parser.add_argument("--priority", type=whole(1, 9), help="9 goes first (5)")
    windows = parser.add_argument_group("when people may be called (09:00-21:00 where they are)")
    windows.add_argument(
        "--window",
        action="append",
        default=[],
        metavar="[DAYS=]HH:MM-HH:MM",
        help="as mon-fri=09:00-18:00; may be repeated",
    )
    windows.add_argument(
        "--holiday", action="append", default=[], metavar="DATE", help="as 2026-12-25; repeatable"
    )
    windows.add_argument("--zone", help="for all rows, whatever their numbers say")
    windows.add_argument("--any-time", action="store_true", help="at any hour of any day")
    retry = parser.add_argument_group("when nobody was reached")
    retry.add_argument("--max-attempts", type=whole(1, 20), metavar="N", help="calls a row (3)")
    retry.add_argument(
        "--retry-after",
        action="append",
        default=[],
        metavar="OUTCOME=S[,S...]",
        help="waits after each such try, as busy=300,900; may be repeated",
    )
    rules = parser.add_argument_group("when the campaign pauses itself")
    rules.add_argument("--pause-error-rate", type=float, metavar="SHARE", help="0 to 1")
    rules.add_argument("--pause-answer-rate-min", type=float, metavar="SHARE", help="0 to 1")
    rules.add_argument("--pause-answer-rate-max", type=float, metavar="SHARE", help="0 to 1")
    rules.add_argument(
        "--pause-over-last", type=whole(1, 10_000), metavar="N", help="calls looked at (50)"
    )


def spec_of(args: argparse.Namespace, caller: str | None, default_name: str) -> dict[str, Any]:
    """Return a new campaign as the API has it: the file's members under the options'.

    Raises:
        CommandFailed: an option or the file can't be read.
    """
    spec = _read_spec(args.spec) if args.spec is not None else {}
    spec.setdefault("name", default_name)
    if caller is not None:
        spec.setdefault("from", caller)
    for member, value in (
        ("name", args.name),
        ("agent", args.agent),
        ("from", args.caller),
    ):
        if value is not None:
            spec[member] = value
    if args.var:
        spec["variables"] = {**spec.get("variables", {}), **pairs(args.var, "--var")}
    return spec | call_options(args) | changes_of(args)


def changes_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the options of `add_change_options` say.

    Raises:
        CommandFailed: one can't be read.
    """
    found: dict[str, Any] = {}
    for member in ("cps", "concurrency", "priority"):
        if getattr(args, member) is not None:
            found[member] = getattr(args, member)
    for member, value in (
        ("windows", _windows(args)),
        ("retry", _retry(args)),
        ("pause_rules", _pause_rules(args)),
    ):
        if value:
            found[member] = value
    return found


def _windows(args: argparse.Namespace) -> dict[str, Any]:
    if args.any_time:
        if args.window or args.holiday or args.zone:
            raise CommandFailed(
                Exit.MISUSED, "--any-time leaves no room for --window and the like."
            )
        return {"always": True}
    daily: list[list[str]] = []
    days: dict[str, list[list[str]]] = {}
    for text in args.window:
        names, sign, hours = text.rpartition("=")
        span = _span(hours, text)
        if not sign:
            daily.append(span)
            continue
        for day in _days(names, text):
            days.setdefault(day, []).append(span)
    if daily and days:
        raise CommandFailed(Exit.MISUSED, "Give either every --window its days, or none.")
    windows: dict[str, Any] = {}
    if daily or days:
        windows = {"days": days} if days else {"daily": daily}
    elif args.holiday or args.zone:
        windows = {"daily": [["09:00", "21:00"]]}
    if args.holiday:
        windows["holidays"] = args.holiday
    if args.zone:
        windows["zone"] = args.zone
    return windows


def _span(hours: str, text: str) -> list[str]:
    match = _HOURS.fullmatch(hours)
    if match is None:
        raise CommandFailed(
            Exit.MISUSED,
            f"--window wants hours such as 09:00-18:00 or mon-fri=09:00-18:00, not {text}.",
        )
    return [match[1], match[2]]


def _days(names: str, text: str) -> Sequence[str]:
    """Return days of `mon`, `mon,wed` or `mon-fri`; a range may go over the week's end."""
    found: list[str] = []
    for part in names.lower().split(","):
        first, _, last = part.partition("-")
        last = last or first
        if first not in _DAYS or last not in _DAYS:
            raise CommandFailed(
                Exit.MISUSED, f"--window knows the days {', '.join(_DAYS)}, not those of {text}."
            )
        start, count = _DAYS.index(first), (_DAYS.index(last) - _DAYS.index(first)) % 7 + 1
        found += [_DAYS[(start + step) % 7] for step in range(count)]
    return list(dict.fromkeys(found))


def _retry(args: argparse.Namespace) -> dict[str, Any]:
    retry: dict[str, Any] = {}
    if args.max_attempts is not None:
        retry["max_attempts"] = args.max_attempts
    if args.retry_after:
        waits = pairs(args.retry_after, "--retry-after")
        retry["after_s"] = {name: _seconds(value, name) for name, value in waits.items()}
    return retry


def _seconds(text: str, name: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part]
    except ValueError:
        raise CommandFailed(
            Exit.MISUSED, f"--retry-after {name} wants seconds such as 300,900, not {text}."
        ) from None


def _pause_rules(args: argparse.Namespace) -> dict[str, Any]:
    found = {
        "error_rate": args.pause_error_rate,
        "answer_rate_min": args.pause_answer_rate_min,
        "answer_rate_max": args.pause_answer_rate_max,
        "over_last": args.pause_over_last,
    }
    return {name: value for name, value in found.items() if value is not None}


def _read_spec(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _SPEC_MAX_BYTES:
            raise CommandFailed(Exit.MISUSED, f"{path} is too large for a campaign's rules.")
        spec = json.loads(path.read_bytes())
    except OSError as exc:
        raise CommandFailed(Exit.MISUSED, f"{path} can't be read: {exc.strerror}.") from exc
    except ValueError as exc:
        raise CommandFailed(Exit.MISUSED, f"{path} is no JSON: {exc}.") from exc
    if not isinstance(spec, dict):
        raise CommandFailed(Exit.MISUSED, f"{path} must hold an object.")
    return spec
