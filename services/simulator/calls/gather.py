"""Collects keys, or what was said, for `<Gather>`."""

from __future__ import annotations

import asyncio
from typing import Any

from services.simulator.calls.leg import Leg, Pressed, Spoke
from services.simulator.calls.verbs import Verb


async def gather(verb: Verb, leg: Leg, prompts: asyncio.Future[None]) -> dict[str, str]:
    """Return the fields of the action webhook, empty digits when nothing came in time.

    The time runs from the end of the nested prompts; keys and speech during them count, those
    before them do not. Speech is known, not recognised: it is the text of what the scripted
    person said.
    """
    leg.forget_inputs()
    kinds = verb.get("inputType", "dtmf").split()
    limit_s = verb.number("executionTimeout", 15, 5, 60)
    digit_gap_s = verb.number("digitEndTimeout", 2, 1, 60)
    wanted = int(verb.number("numDigits", 32, 1, 32))
    finish = verb.get("finishOnKey", "#")
    given = await _first(leg, kinds, prompts, limit_s)
    digits = ""
    while isinstance(given, Pressed) and given.digit != finish:
        digits += given.digit
        if len(digits) >= wanted:
            break
        given = await leg.next_input(digit_gap_s)
    speech = given.text if isinstance(given, Spoke) and not digits else ""
    return {
        "InputType": "speech" if speech else "dtmf",
        "Digits": digits,
        "Speech": speech,
        "SpeechConfidenceScore": "1.0" if speech else "",
        "BilledAmount": "0.00000",
    }


async def _first(
    leg: Leg, kinds: list[str], prompts: asyncio.Future[None], limit_s: float
) -> Pressed | Spoke | None:
    """Return the first input of a wanted kind, at most `limit_s` after the prompts' end."""
    while True:
        given = asyncio.ensure_future(leg.next_input(None))
        waiting: set[asyncio.Future[Any]] = {given, prompts}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not given.done():
                timeout_s = limit_s / leg.clock.speed
                await asyncio.wait({given}, timeout=timeout_s)
        finally:
            if not given.done():
                given.cancel()
        if given.cancelled() or not given.done():
            return None
        value = given.result()
        kind = "dtmf" if isinstance(value, Pressed) else "speech"
        if kind in kinds:
            return value
