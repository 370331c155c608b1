"""`parley-dialer call`: place one call, and follow it if wanted."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Mapping
from typing import Any

from services.dialer.cli.failure import CommandFailed, Exit, Refused
from services.dialer.cli.follow import follow_call
from services.dialer.cli.screen import Screen
from services.dialer.cli.session import Session, Subparsers, command, pairs, whole


def add_parser(subparsers: Subparsers) -> None:
    """Add this command."""
    parser = command(subparsers, "call", run, "place a call")
    parser.add_argument("--to", help="number to dial, as +918000000002 (default: TO_NUMBER)")
    parser.add_argument(
        "--from", dest="caller", help="number to call from (default: FROM_NUMBER, or the dialer's)"
    )
    parser.add_argument("--agent", help="the agent that talks")
    add_text_pairs(parser, "--var", "for the agent's prompt")
    add_text_pairs(parser, "--metadata", "kept with the call's record")
    parser.add_argument(
        "--idempotency-key",
        metavar="KEY",
        help="the same key and order never dial twice within a day (default: a new one)",
    )
    add_call_options(parser)
    parser.add_argument("--follow", action="store_true", help="report until the call has ended")


def add_text_pairs(parser: argparse.ArgumentParser, option: str, help_text: str) -> None:
    """Add an option of KEY=VALUE texts."""
    parser.add_argument(
        option,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"{help_text}; may be repeated",
    )


def add_call_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of how a call is placed, which campaigns have too."""
    parser.add_argument(
        "--ring-timeout-s", type=whole(5, 600), metavar="S", help="how long it may ring"
    )
    parser.add_argument("--time-limit-s", type=whole(10, 86_400), metavar="S", help="longest call")
    parser.add_argument(
        "--machine-detection",
        choices=("off", "detect", "hangup"),
        help="whether Vobiz listens for answering machines; hangup: and ends the call",
    )
    parser.add_argument(
        "--machine-detection-sync",
        action="store_true",
        help="the call is answered to the agent only after the verdict",
    )
    parser.add_argument(
        "--machine-detection-time-ms",
        type=whole(2000, 10_000),
        metavar="MS",
        help="how long Vobiz listens",
    )


def call_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the options of `add_call_options` say, as the API has it."""
    found: dict[str, Any] = {}
    if args.ring_timeout_s is not None:
        found["ring_timeout_s"] = args.ring_timeout_s
    if args.time_limit_s is not None:
        found["time_limit_s"] = args.time_limit_s
    has_details = args.machine_detection_sync or args.machine_detection_time_ms is not None
    if has_details and args.machine_detection in {None, "off"}:
        raise CommandFailed(Exit.MISUSED, "Give --machine-detection detect or hangup beside it.")
    if has_details:
        detection: dict[str, Any] = {
            "mode": args.machine_detection,
            "sync": args.machine_detection_sync,
        }
        if args.machine_detection_time_ms is not None:
            detection["time_ms"] = args.machine_detection_time_ms
        found["machine_detection"] = detection
    elif args.machine_detection is not None:
        found["machine_detection"] = args.machine_detection
    return found


async def run(args: argparse.Namespace, session: Session) -> int:
    """Place the call."""
    order = _order(args, session)
    key = args.idempotency_key or str(uuid.uuid4())
    try:
        record = await session.dialer.send("POST", "/v1/calls", order, {"Idempotency-Key": key})
    except CommandFailed as exc:
        if exc.status is not Exit.UNKNOWN or isinstance(exc, Refused):
            raise
        raise CommandFailed(
            Exit.UNKNOWN,
            "The dialer's answer was lost: the phone may be ringing. The same command with"
            f" --idempotency-key {key} asks again and dials once.",
        ) from exc
    screen = session.screen
    if screen.is_json and not args.follow:
        screen.document(record)
    tell_placed(screen, record)
    if args.follow:
        await follow_call(session.dialer, screen, str(record.get("call_id")))
    return Exit.DONE


def tell_placed(screen: Screen, record: Mapping[str, Any]) -> None:
    """Say that a call was placed, and under which names it is known."""
    screen.say(f"Calling {record.get('to_number')} from {record.get('from_number')}.")
    screen.say(f"  call id:   {record.get('call_id')}")
    screen.say(f"  Vobiz id:  {record.get('call_uuid') or '(comes with the first webhook)'}")


def _order(args: argparse.Namespace, session: Session) -> dict[str, Any]:
    to = args.to or session.settings.to_number
    caller = args.caller or session.settings.from_number
    if not to:
        raise CommandFailed(Exit.MISUSED, "Whom to call? Give --to or set TO_NUMBER.")
    order: dict[str, Any] = {"to": to}
    if caller:
        order["from"] = caller
    if args.agent:
        order["agent"] = args.agent
    if args.var:
        order["variables"] = pairs(args.var, "--var")
    if args.metadata:
        order["metadata"] = pairs(args.metadata, "--metadata")
    return order | call_options(args)
