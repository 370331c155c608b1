"""What all stand-ins share: what they hear and say, whom they let in, what they were asked."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from shared.runtime.tasks import TaskOwner
from tests.support.standins.faults import STATUS_OF, Afflicted, Fault, Faults
from tests.support.standins.hearing import Ear, ScriptedEar
from tests.support.standins.speaking import Mouth, Talker

DEEPGRAM_KEY = "standin-deepgram-key"
OPENAI_KEY = "standin-openai-key"
_KEPT = 100
_NUMBER = "standin.number"
_GRAIN_S = 0.02

VendorError = Callable[[int, str], dict[str, Any]]
"""Makes the vendor's JSON for a status and the key that came."""
Watch = Callable[[str, int, bool, bytes | str], None]
"""Told of what comes in and goes out: route, number of the request or socket, whether it goes out,
and what. Called just before a piece is sent, and just after one has been read."""


def unwatched(_route: str, _number: int, _goes_out: bool, _data: bytes | str) -> None:
    """Watch nothing."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its query, and its body where that is JSON."""

    query: Mapping[str, str]
    json: Any = None
    body: bytes = b""


@dataclass
class World:
    """The stand-ins' state; tests read and set it while the server runs.

    Attributes:
        requests: requests and sockets by route, refused ones too.
        asked: the last requests of a route, let in ones only.
        finished: answers that were sent to their end, by route.
        socket_messages: JSON that sockets received, by route; audio is only counted in
            `audio_bytes`.
        lets_anyone_in: whether keys are not looked at.
        interim_every_s, final_every_s: audio between interim results, and longest before a final
            one in mid-speech.
        answers_delay_s: between what makes a socket tell something and its telling; it hears on
            meanwhile.
        session_error: code of the error that a `session.update` is answered with; none where empty.
        commit_error: the same for commits.
        failing_items: how many next utterances of sessions fail to be transcribed.
        tells_empty_finalize: whether a Finalize that finds nothing new is answered.
        watch: sees the traffic, for whoever measures.
    """

    ear: Ear = field(default_factory=ScriptedEar)
    talker: Talker = field(default_factory=Talker)
    mouth: Mouth = field(default_factory=Mouth)
    faults: Faults = field(default_factory=Faults)
    deepgram_key: str = DEEPGRAM_KEY
    openai_key: str = OPENAI_KEY
    lets_anyone_in: bool = False
    interim_every_s: float = 0.2
    final_every_s: float = 5.0
    answers_delay_s: float = 0.0
    session_error: str = ""
    commit_error: str = ""
    failing_items: int = 0
    tells_empty_finalize: bool = True
    speaks_odd_chunks: bool = False
    requests: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    audio_bytes: Counter[str] = field(default_factory=Counter)
    asked: dict[str, deque[Asked]] = field(default_factory=dict)
    socket_messages: dict[str, deque[dict[str, Any]]] = field(default_factory=dict)
    transports: dict[Any, asyncio.Transport] = field(default_factory=dict)
    watch: Watch = unwatched
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def note_message(self, route: str, message: dict[str, Any]) -> None:
        """Remember what came over a socket."""
        self.socket_messages.setdefault(route, deque(maxlen=1000)).append(message)

    def messages(self, route: str, kind: str) -> list[dict[str, Any]]:
        """What came over a route's sockets, of one type."""
        return [m for m in self.socket_messages.get(route, ()) if m.get("type") == kind]

    def last_asked(self, route: str) -> Asked:
        """The newest request of a route."""
        return self.asked[route][-1]

    def abort(self, scope: Mapping[str, Any]) -> None:
        """Tear down the connection that a request came by."""
        transport = self.transports.get(tuple(scope["client"] or ()))
        if transport is not None:
            transport.abort()

    def abort_all(self) -> None:
        """Tear down every connection."""
        for transport in self.transports.values():
            transport.abort()
        self.transports.clear()

    # --- letting requests in -------------------------------------------------------------------

    async def answer(
        self,
        request: Request,
        route: str,
        *,
        key: str,
        error: VendorError,
        respond: Callable[[bytes, Afflicted], Awaitable[Response]],
    ) -> Response:
        """Answer an HTTP request, unless its key is wrong or a fault is planned for it."""
        body = await request.body()
        request.scope[_NUMBER] = next(self.numbers)
        self.watch(route, request.scope[_NUMBER], False, body)
        self.requests[route] += 1
        given = given_key(request.headers.get("authorization", ""))
        if not self.lets_anyone_in and given != key:
            return JSONResponse(error(401, given), status_code=401)
        self._note(route, dict(request.query_params), body)
        planned = self.faults.take(route)
        fault = planned.fault if planned is not None else None
        if fault is Fault.REFUSED:
            self.abort(request.scope)
            return Response(status_code=500)
        if fault is Fault.TIMEOUT:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            return Response(status_code=500)
        if fault in STATUS_OF:
            return _refusal(STATUS_OF[fault], error, given)
        return await respond(body, Afflicted(planned))

    async def let_in(
        self, socket: WebSocket, route: str, *, key: str, error: VendorError
    ) -> Afflicted | None:
        """Accept a WebSocket; None when it was turned away, by its key or by a planned fault."""
        self.requests[route] += 1
        given = given_key(socket.headers.get("authorization", ""))
        if not self.lets_anyone_in and given != key:
            await socket.send_denial_response(JSONResponse(error(401, given), status_code=401))
            return None
        self._note(route, dict(socket.query_params), b"")
        planned = self.faults.take(route)
        fault = planned.fault if planned is not None else None
        if fault is Fault.REFUSED:
            self.abort(socket.scope)
            return None
        if fault is Fault.TIMEOUT:
            while (await socket.receive())["type"] != "websocket.disconnect":
                pass
            return None
        if fault in STATUS_OF:
            await socket.send_denial_response(_refusal(STATUS_OF[fault], error, given))
            return None
        socket.scope[_NUMBER] = next(self.numbers)
        await socket.accept()
        return Afflicted(planned)

    def stream(
        self,
        request: Request,
        route: str,
        pieces: AsyncIterator[bytes],
        afflicted: Afflicted,
        *,
        media_type: str,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a body piece by piece, with its fault."""
        garbage = b"data: {never \xff closed\n\n"
        is_text = media_type.startswith("text/")
        if afflicted.fault is Fault.GARBAGE and not is_text:
            return Response("<html>hello</html>", media_type="text/html")

        async def body() -> AsyncIterator[bytes]:
            passed = afflicted.pass_on(
                pieces,
                garbage=garbage,
                sleep=asyncio.sleep,
                abort=lambda: self.abort(request.scope),
            )
            async for piece in passed:
                self.watch(route, request.scope[_NUMBER], True, piece)
                yield piece
            self.finished[route] += 1

        return StreamingResponse(body(), media_type=media_type, headers=headers)

    def _note(self, route: str, query: Mapping[str, str], body: bytes) -> None:
        try:
            parsed = json.loads(body) if body else None
        except ValueError:
            parsed = None
        self.asked.setdefault(route, deque(maxlen=_KEPT)).append(Asked(query, parsed, body))


def given_key(authorization: str) -> str:
    """The key of an Authorization header, whatever its scheme."""
    return authorization.partition(" ")[2]


def _refusal(status: int, error: VendorError, key: str) -> JSONResponse:
    headers = {"retry-after": "1"} if status == 429 else None
    return JSONResponse(error(status, key), status_code=status, headers=headers)


class Outlet:
    """A socket's way out, with its fault; `aclose` when the socket is done with."""

    def __init__(self, world: World, route: str, socket: WebSocket, afflicted: Afflicted) -> None:
        self._world = world
        self._route = route
        self._socket = socket
        self._afflicted = afflicted
        self._late = TaskOwner("outlet")
        self.is_silent = False

    def came(self, data: bytes | str) -> None:
        """Something was read from the socket."""
        self._world.watch(self._route, self._socket.scope[_NUMBER], False, data)

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send JSON, unless the fault has struck."""
        if self._world.answers_delay_s:
            self._late.start(self._send_late(message), name="late")
        else:
            await self._send(message)

    async def flush(self) -> None:
        """Wait until what is late has been sent."""
        if len(self._late):
            await asyncio.sleep(self._world.answers_delay_s + _GRAIN_S)

    async def aclose(self) -> None:
        """Send no more of what is late."""
        await self._late.stop()

    async def _send_late(self, message: Mapping[str, Any]) -> None:
        await asyncio.sleep(self._world.answers_delay_s)
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the client is gone
            await self._send(message)

    async def _send(self, message: Mapping[str, Any]) -> None:
        if self.is_silent:
            return
        afflicted = self._afflicted
        text = json.dumps(message)
        if afflicted.fault is Fault.SLOW and afflicted.planned is not None:
            await asyncio.sleep(afflicted.planned.delay_s)
        if afflicted.strikes(text):
            self.is_silent = True
            if afflicted.fault is Fault.CUT:
                self._world.abort(self._socket.scope)
            elif afflicted.fault is Fault.GARBAGE:
                await self._socket.send_text('{"type": never')
            return
        self._world.watch(self._route, self._socket.scope[_NUMBER], True, text)
        await self._socket.send_text(text)
