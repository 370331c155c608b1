"""PURE. Errands as Vobiz runs them: their XML, and what its webhooks say came of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from services.gateway.calls.routing import PublicAddress
from shared.protocol.errand import Errand, GatherErrand, TransferErrand
from shared.protocol.webhook import Webhook
from shared.protocol.xml import Dial, Gather, Number, Redirect, Response, Speak, Verb

_SHORTEST_GATHER_S = 5
_FAILURES = frozenset({"busy", "failed", "cancel", "timeout", "no-answer"})
_ANSWERED = frozenset({"answer", "connected"})
_ANSWER_EVENTS = frozenset({"DialAnswer", "DialConnected"})


def errand_answer(errand: Errand, address: PublicAddress, query: Mapping[str, str]) -> bytes:
    """Return the XML of an errand; it ends at /errand-done, whatever happens.

    Args:
        errand: what is to be done.
        address: how Vobiz reaches us.
        query: by which the call is found again; the errand's id is added.
    """
    named = {**query, "e": errand.errand_id}
    done = address.webhook_url("errand-done", **named)
    match errand:
        case TransferErrand():
            verbs = _transfer(errand, done, address.webhook_url("dial-events", **named))
        case GatherErrand():
            verbs = _gather(errand, done)
        case _:
            assert_never(errand)
    # Where Vobiz goes on instead of asking the action's URL, the caller is not left in silence.
    return Response(*verbs, Redirect(done, method="POST")).to_bytes()


def _transfer(errand: TransferErrand, done_url: str, events_url: str) -> list[Verb]:
    dial = Dial(
        targets=(Number(errand.to),),
        action=done_url,
        method="POST",
        callback_url=events_url,
        callback_method="POST",
        caller_id=errand.caller_id or None,
        timeout_s=int(errand.ring_timeout_s),
    )
    return [*_said(errand.say), dial]


def _gather(errand: GatherErrand, done_url: str) -> list[Verb]:
    wait_s = max(1, round(errand.timeout_s))
    gather = Gather(
        action=done_url,
        prompts=_said(errand.prompt),
        method="POST",
        input_type="dtmf",
        execution_timeout_s=max(_SHORTEST_GATHER_S, wait_s),
        digit_end_timeout_s=wait_s,
        finish_on_key=errand.finish_on_key or "none",
        num_digits=int(errand.most),
    )
    return [gather]


def _said(text: str) -> list[Speak]:
    return [Speak(text)] if text.strip() else []


@dataclass(frozen=True, slots=True)
class Gathered:
    """Keys were collected, none when none was pressed in time."""

    digits: str


@dataclass(frozen=True, slots=True)
class HandedOver:
    """The far party has answered, and that call is over."""


@dataclass(frozen=True, slots=True)
class NotHandedOver:
    """The far party did not answer; `status` is Vobiz's word for it."""

    status: str


Outcome = Gathered | HandedOver | NotHandedOver


def read_outcome(webhook: Webhook, errand: Errand | None, *, was_answered: bool) -> Outcome:
    """Return what came of an errand, by the webhook that ends it.

    Args:
        webhook: the action of a Gather or a Dial, or the Redirect behind it.
        errand: as it was on the bus; None when it is not known any more.
        was_answered: whether a callback has said that the far party answered.
    """
    is_transfer = isinstance(errand, TransferErrand) or bool(webhook.dial_status) or was_answered
    if not is_transfer:
        return Gathered(webhook.digits or "")
    if was_answered:
        return HandedOver()
    # A Dial without a far leg counts as completed too: nobody was there.
    if webhook.dial_status == "completed" and webhook.dial_b_leg != "":
        return HandedOver()
    return NotHandedOver(webhook.dial_status if webhook.dial_status in _FAILURES else "failed")


def is_answer(webhook: Webhook) -> bool:
    """Whether a callback of a Dial says that the far party has answered."""
    return webhook.event in _ANSWER_EVENTS or webhook.dial_action in _ANSWERED
