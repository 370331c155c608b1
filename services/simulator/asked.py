"""What the options of the command line mean: the person, the cloud's variants, the call."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from services.simulator.calls.forms import CallFacts
from services.simulator.calls.knobs import (
    WIRE_SHAPES,
    HangupKnob,
    Knobs,
    NumberKnob,
    ReconnectKnob,
    SignatureKnob,
)
from services.simulator.calls.plan import CallPlan, Target
from services.simulator.line.line import LineQuality
from services.simulator.options import FOR_ALL, IN_TURN
from services.simulator.person.caller import CallerScript, KeyPresses
from services.simulator.person.script import Press, Turn
from shared.protocol.call import Direction


@dataclass(frozen=True, slots=True)
class Person:
    """What the options say about the person, before the audio is made."""

    turns: Sequence[Turn]
    barge_ins: Sequence[float | None]
    pressed_at: Sequence[KeyPresses]
    level_dbfs: float | None
    limits: CallerScript


def person_of(options: argparse.Namespace) -> Person:
    """Return what the person will do."""
    limits = CallerScript(
        turn_silence_s=options.turn_silence,
        patience_s=options.patience,
        linger_s=options.linger,
        hangup_at_s=options.hangup_after,
        max_duration_s=options.max_duration,
    )
    parts = [part for values in options.barge_in_at for part in values]
    said = sum(not isinstance(turn, Press) for turn in options.turns)
    if parts and parts[-1].endswith(FOR_ALL):
        parts += [parts[-1]] * (said - len(parts))
    barge_ins = [None if p == IN_TURN else float(p.removesuffix(FOR_ALL)) for p in parts]
    return Person(options.turns, barge_ins, options.dtmf, options.level_dbfs, limits)


def knobs_of(options: argparse.Namespace) -> Knobs:
    """Return the cloud's variants."""
    return Knobs(
        signature=SignatureKnob(options.signature),
        numbers=NumberKnob(options.numbers),
        shape=WIRE_SHAPES[options.shape],
        reconnect=ReconnectKnob(options.reconnect),
        drop_socket_at_s=tuple(options.drop_socket_at),
        hangup=HangupKnob(options.hangup_as),
        media_before_start=options.media_before_start,
        garbage_messages=options.garbage,
        duplicates_webhooks=options.duplicate_webhooks,
        sends_dtmf_events=not options.no_dtmf_events,
        has_comfort_noise_gaps=options.comfort_noise_gaps,
        hangup_delay_s=options.hangup_delay,
        jitter_s=options.line_jitter,
        seed=options.seed,
    )


def plan_of(
    options: argparse.Namespace, script: CallerScript, *, auth_id: str, token: str, index: int = 0
) -> CallPlan:
    """Return an inbound call; `index` tells the calls of a load apart (seed, caller's number)."""
    knobs = knobs_of(options)
    gateway = options.gateway.rstrip("/")
    hangup = options.hangup_url or ("" if options.answer_url else f"{gateway}/hangup")
    fallback = options.fallback_url or ("" if options.answer_url else f"{gateway}/fallback")
    facts = CallFacts(
        call_uuid=str(uuid.uuid4()),
        direction=Direction.INBOUND,
        from_number=_numbered(options.from_number, index),
        to_number=options.to_number,
        auth_id=auth_id,
        session_start=datetime.now(UTC),
        numbers=knobs.numbers,
    )
    return CallPlan(
        facts=facts,
        answer=Target(options.answer_url or f"{gateway}/answer"),
        hangup=Target(hangup) if hangup else None,
        fallback=Target(fallback) if fallback else None,
        token=token,
        script=script,
        quality=LineQuality(options.line_noise_dbfs, options.echo_db, options.echo_delay),
        knobs=replace(knobs, seed=knobs.seed + index),
    )


def platform_of(options: argparse.Namespace) -> str | None:
    """Return where the platform tells about calls, or None when it is not to be asked."""
    if options.platform == "none":
        return None
    if options.platform:
        return str(options.platform).rstrip("/")
    if options.answer_url:
        parts = urlsplit(options.answer_url)
        return f"{parts.scheme}://{parts.netloc}"
    return str(options.gateway).rstrip("/")


def _numbered(number: str, index: int) -> str:
    if not index or not number.removeprefix("+").isdigit():
        return number
    return f"{'+' if number.startswith('+') else ''}{int(number.removeprefix('+')) + index}"
