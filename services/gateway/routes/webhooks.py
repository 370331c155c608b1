"""Vobiz's webhooks: authenticate, read, hand to the switchboard, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated
from urllib.parse import parse_qsl

import structlog
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.access.webhook_auth import AuthVerdict, body_digest, nonce_key
from services.gateway.calls.answering import AnswerOutcome
from services.gateway.calls.routing import HANGUP_EVENT, PublicAddress
from services.gateway.state import GatewayState, gateway_state
from services.gateway.vobiz_recordings.rules import STOP_EVENT
from shared.bus.base import BusUnavailable
from shared.metrics.exemplars import observe
from shared.protocol.call import CallId
from shared.protocol.errors import MalformedWebhook
from shared.protocol.webhook import Webhook, parse_webhook
from shared.protocol.xml import Response as Document
from shared.runtime.concern import present, turn_to

_log = structlog.get_logger(__name__)
_MAX_FIELDS = 300
_EVENTS = frozenset(
    {
        *("Ring", "StartApp", "Hangup", "Redirect", "Transfer", "MachineDetection"),
        *("Record", "RecordStop", "StartStream", "StopStream", "PlayedStream", "ClearedAudio"),
        *("DegradedStream", "DroppedStream", "DialAnswer", "DialConnected", "DialDigitsMatch"),
        *("DialHangup", "DialAction"),
    }
)
_STREAM_TROUBLE = frozenset({"DegradedStream", "DroppedStream"})
NOTHING = Document().to_bytes()
_OWN_SPAN = frozenset({"answer"})

State = Annotated[GatewayState, Depends(gateway_state)]


class WebhookRejected(Exception):
    """A webhook that is answered by a bare status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def _read(request: Request, state: GatewayState) -> Webhook:
    """Authenticate and parse a webhook; the body is not touched before the first says yes."""
    verdict = state.policy.judge(
        _single(request), _called_url(request, state), request.path_params.get("path_secret")
    )
    if not verdict.is_accepted:
        _count(state, "unread", verdict)
        raise WebhookRejected(403)
    try:
        async with asyncio.timeout(state.settings.gateway_body_timeout_s):
            body = await request.body()
    except TimeoutError:
        _count(state, "unread", verdict)
        raise WebhookRejected(408) from None
    if verdict is AuthVerdict.SIGNED and await _is_replay(request, body, state):
        _count(state, "unread", AuthVerdict.REPLAYED)
        raise WebhookRejected(403)
    try:
        webhook = parse_webhook(_fields(request, body))
    except (MalformedWebhook, ValueError) as exc:
        _count(state, "malformed", verdict)
        _log.info("webhook_malformed", path=request.url.path.rsplit("/", 1)[-1], problem=str(exc))
        raise WebhookRejected(400) from exc
    _count(state, webhook.event if webhook.event in _EVENTS else "other", verdict)
    return webhook


def _count(state: GatewayState, event: str, verdict: AuthVerdict) -> None:
    state.metrics.webhooks.labels(event=event, verdict=verdict).inc()
    if verdict.is_accepted:
        return
    state.metrics.refused_requests.labels(reason="unauthorized").inc()
    if times := state.refusals.times(verdict, state.clock.now_s()):
        # Vobiz itself, where the URL it was given or the token is not the one we have.
        _log.warning("webhooks_refused", verdict=verdict, times=times)


def _single(request: Request) -> dict[str, str]:
    """Return the headers by lower-case name, a repeated one's values joined by commas."""
    joined: dict[str, str] = {}
    for name, value in request.headers.items():
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _called_url(request: Request, state: GatewayState) -> str:
    """Return the URL as Vobiz has it; only a local gateway takes it from the request."""
    base = state.public_base or f"http://{request.headers.get('host', '')}"
    raw_path: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return base + raw_path.decode("ascii", "replace")


async def _is_replay(request: Request, body: bytes, state: GatewayState) -> bool:
    """Whether a signed request comes again with other content.

    A signature covers neither body nor query. The same content again is a plain retry.
    """
    key = nonce_key(_single(request))
    if key is None:
        return False
    digest = body_digest(request.url.path, request.url.query, body)
    return await state.nonces.is_other(key, digest)


def _fields(request: Request, body: bytes) -> dict[str, str]:
    """Return a webhook's fields: of the body, and of the query where the body has none."""
    fields = dict(request.query_params)
    if body:
        pairs = parse_qsl(
            body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MAX_FIELDS
        )
        fields |= dict(pairs)
    return fields


def _address(request: Request, state: GatewayState) -> PublicAddress:
    address = state.address(request.headers.get("host", ""))
    if address is None:
        raise WebhookRejected(400)
    return address


def _xml(body: bytes) -> Response:
    return Response(body, media_type="application/xml")


async def _identified(request: Request, state: GatewayState) -> tuple[CallId, Webhook]:
    """Read a webhook and find its call; from then on this request is about that."""
    webhook = await _read(request, state)
    call_id = await state.switchboard.identify(webhook, request.query_params.get("c"))
    turn_to(state.tracer.concern(call_id))
    return call_id, webhook


_Handler = Callable[[Request, GatewayState], Awaitable[Response]]


def _traced(name: str, handler: _Handler) -> _Handler:
    """Tell of each request of a handler as a span of the call it turned out to be about."""

    @wraps(handler)
    async def run(request: Request, state: GatewayState) -> Response:
        turn_to(None)
        with state.tracer.span(name.replace("-", "_"), None) as span:
            try:
                return await handler(request, state)
            finally:
                span.under = present()

    return run


async def answer(request: Request, state: State) -> Response:
    """Say what a new call is to do; also takes hang-ups, where no hangup_url was given."""
    started_s = state.clock.now_s()
    call_id, webhook = await _identified(request, state)
    if webhook.event == HANGUP_EVENT:
        state.metrics.answers.labels(outcome="hangup").inc()
        return await _hang_up(call_id, webhook, state)
    given = await state.answering.answer(
        call_id, webhook, request.query_params.get("agent"), _address(request, state)
    )
    state.metrics.answers.labels(outcome=given.outcome).inc()
    _log.info("call_answered", call_id=call_id, outcome=given.outcome)
    if given.outcome is AnswerOutcome.DRAINING:
        return Response(status_code=503, headers={"retry-after": "1"})
    observe(state.metrics.answer_seconds, state.clock.now_s() - started_s)
    if webhook.machine is not None:
        await state.switchboard.on_machine_judged(call_id, is_machine=webhook.machine)
    return _xml(given.xml)


async def hangup(request: Request, state: State) -> Response:
    """A call has ended."""
    call_id, webhook = await _identified(request, state)
    return await _hang_up(call_id, webhook, state)


async def _hang_up(call_id: CallId, webhook: Webhook, state: GatewayState) -> Response:
    try:
        await state.switchboard.hang_up(call_id, webhook)
    except BusUnavailable:
        # Vobiz brings a status webhook again when it is not answered by 200.
        return Response(status_code=503)
    _log.info("call_hung_up", call_id=call_id, cause=webhook.hangup_cause_code)
    return Response()


async def ring(request: Request, state: State) -> Response:
    """The far phone rings."""
    call_id, webhook = await _identified(request, state)
    await state.records.ringing(call_id, webhook)
    return Response()


async def stream_status(request: Request, state: State) -> Response:
    """Something happened to a stream: counted; trouble is logged."""
    call_id, webhook = await _identified(request, state)
    if webhook.event in _STREAM_TROUBLE:
        _log.warning("stream_trouble", call_id=call_id, kind=webhook.event, error=webhook.error)
    return Response()


async def machine_detection(request: Request, state: State) -> Response:
    """A person or a machine has answered."""
    call_id, webhook = await _identified(request, state)
    if webhook.machine is not None:
        await state.switchboard.on_machine_judged(call_id, is_machine=webhook.machine)
    return Response()


async def fallback(request: Request, state: State) -> Response:
    """What a call does when its stream has ended, or when /answer could not be reached."""
    call_id, webhook = await _identified(request, state)
    if webhook.event == HANGUP_EVENT:
        return await _hang_up(call_id, webhook, state)
    errand = await state.errands.begin(call_id, webhook, _address(request, state))
    return _xml(errand or await state.switchboard.fall_back(call_id))


async def errand(request: Request, state: State) -> Response:
    """What the agent left the stream for, asked for by a REST transfer to this URL."""
    call_id, webhook = await _identified(request, state)
    if webhook.event == HANGUP_EVENT:
        return await _hang_up(call_id, webhook, state)
    address = _address(request, state)
    begun = await state.errands.begin(call_id, webhook, address)
    return _xml(begun or await state.errands.come_back(call_id, webhook, address))


async def errand_done(request: Request, state: State) -> Response:
    """Keys were collected, or a transfer is over: back to the agent, or the end."""
    call_id, webhook = await _identified(request, state)
    if webhook.event == HANGUP_EVENT:
        return await _hang_up(call_id, webhook, state)
    errand_id = request.query_params.get("e", "")
    address = _address(request, state)
    return _xml(await state.errands.end(call_id, errand_id, webhook, address))


async def dial_events(request: Request, state: State) -> Response:
    """Something happened to the far leg of a transfer."""
    call_id, webhook = await _identified(request, state)
    await state.errands.on_dial_event(call_id, request.query_params.get("e", ""), webhook)
    return Response()


async def record_action(request: Request, state: State) -> Response:
    """Vobiz has begun to record a call: answered by nothing to do, or it would end the call."""
    await _identified(request, state)
    return _xml(NOTHING)


async def record_stop(request: Request, state: State) -> Response:
    """Vobiz's own recording of a call is there; may come after its Hangup, and repeatedly."""
    call_id, webhook = await _identified(request, state)
    pulling = state.vobiz_recordings
    if pulling is None or webhook.event != STOP_EVENT or await pulling.take(call_id, webhook):
        return _xml(NOTHING)
    return Response(status_code=503)


def webhook_routes(*, has_path_secret: bool) -> APIRouter:
    """Return the webhooks' routes, each also below the path's secret where one is set."""
    router = APIRouter()
    handlers = {
        "answer": answer,
        "hangup": hangup,
        "ring": ring,
        "stream-status": stream_status,
        "machine-detection": machine_detection,
        "fallback": fallback,
        "errand": errand,
        "errand-done": errand_done,
        "dial-events": dial_events,
        "record-action": record_action,
        "record-stop": record_stop,
    }
    for name, plain in handlers.items():
        handler = plain if name in _OWN_SPAN else _traced(name, plain)
        for path in [f"/{name}", *([f"/{{path_secret}}/{name}"] if has_path_secret else [])]:
            router.add_api_route(path, handler, methods=["GET", "POST"], response_model=None)
    return router
