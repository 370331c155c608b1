"""What the REST routes share: the cloud, the account, and how errors look."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from services.simulator.calls.call import Call
from services.simulator.calls.cloud import Cloud
from services.simulator.calls.knobs import Knobs
from services.simulator.line.line import LineQuality
from services.simulator.person.people import People
from services.simulator.rest.account import Account
from services.simulator.rest.cdr import DetailRecords
from services.simulator.rest.dial_log import DialLog
from shared.protocol.call import CallState

MAX_BODY_BYTES = 1_000_000


class ApiError(Exception):
    """An error of the REST API.

    With `code` the body has the shape of the errors page, without it that of the call pages.
    """

    def __init__(
        self,
        status: int,
        text: str,
        *,
        code: str = "",
        details: dict[str, Any] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text
        self.code = code
        self.details = details
        self.retry_after_s = retry_after_s

    def response(self) -> Response:
        """Return it as a response."""
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        if not self.code:
            body: dict[str, Any] = {"api_id": api_id(), "error": self.text}
            return JSONResponse(body, status_code=self.status, headers=headers)
        error: dict[str, Any] = {"code": self.code, "message": self.text}
        if self.details:
            error["details"] = self.details
        body = {
            "status": "error",
            "error": error,
            "timestamp": datetime.now(UTC).isoformat(),
            "requestId": api_id(),
        }
        return JSONResponse(body, status_code=self.status, headers=headers)


@dataclass(slots=True)
class RestState:
    """One account on one cloud; `knobs` and `quality` hold for calls that begin from now on."""

    cloud: Cloud
    account: Account
    people: People
    dialled: DialLog
    records: DetailRecords = field(default_factory=DetailRecords)
    knobs: Knobs = field(default_factory=Knobs)
    quality: LineQuality = field(default_factory=LineQuality)
    rng: Random = field(default_factory=Random)

    def write_down(self, call: Call) -> None:
        """Keep what is known of a call that is over."""
        self.records.add(call)
        ending, times = call.ending, call.times
        assert ending is not None and times.ended is not None  # noqa: PT018 - it is over
        self.dialled.ended(
            call.call_uuid,
            ended=times.ended,
            answered=times.answered,
            cause_code=ending.code,
            is_machine=call.plan.outcome.is_machine,
        )

    def live_call(self, call_uuid: str) -> Call:
        """Return a call that is not over.

        Raises:
            ApiError: 404.
        """
        call = self.cloud.live.get(call_uuid)
        if call is None or call.state.is_final:
            raise ApiError(404, "call not found")
        return call

    def talking_call(self, call_uuid: str) -> Call:
        """Return a call that has been answered and is not over.

        Raises:
            ApiError: 404.
        """
        call = self.live_call(call_uuid)
        if call.state is not CallState.IN_PROGRESS:
            raise ApiError(404, "call not found")
        return call

    async def json(self, request: Request) -> Any:
        """Return a request's decoded body.

        Raises:
            ApiError: 400, too long or not JSON.
        """
        try:
            body = await request.body()
        except ClientDisconnect as exc:
            raise ApiError(400, "the asker went away") from exc
        if len(body) > MAX_BODY_BYTES:
            raise ApiError(400, "body too large")
        try:
            return json.loads(body or b"{}")
        except ValueError as exc:
            raise ApiError(400, "body is not JSON") from exc


def rest_state(request: Request) -> RestState:
    """Return what the app was built with."""
    state: RestState = request.app.state.simulator
    return state


def api_id() -> str:
    """Return a fresh id of a request."""
    return str(uuid.uuid4())
