"""A stand-in for the dialer's HTTP API: answers as it is told, and remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PROBLEM = "application/problem+json"


@dataclass
class Asked:
    """A request that came; `parts` are its body's as they arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    parts: list[bytes]

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ScriptedDialer:
    """Answers by method and path; several answers for one are given in turn, the last for good."""

    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def on(self, request: str, *answers: Any, status: int = 200) -> None:
        """Answer a request such as `GET /v1/calls`; a `(status, body)` has a status of its own."""
        self.answers[request] = [
            answer if isinstance(answer, tuple) else (status, answer) for answer in answers
        ]

    def refuse(self, request: str, status: int, kind: str, detail: str, **extra: Any) -> None:
        """Answer a request with a problem document."""
        problem = {"type": f"urn:parley:problem:{kind}", "title": kind, "status": status}
        self.on(request, {**problem, "detail": detail, **extra}, status=status)

    def asked_for(self, request: str) -> list[Asked]:
        """Return the requests of a method and path."""
        return [asked for asked in self.asked if f"{asked.method} {asked.path}" == request]

    async def on_request(self, request: Request) -> Response:
        parts = [part async for part in request.stream() if part]
        path = request.scope["raw_path"].decode().partition("?")[0]
        query = dict(request.query_params)
        self.asked.append(Asked(request.method, path, query, dict(request.headers), parts))
        answers = self.answers.get(f"{request.method} {path}")
        if answers is None:
            return JSONResponse({"title": "No such thing"}, 404, media_type=PROBLEM)
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(body, bytes | str):
            return Response(body, status)
        if body is None:
            return Response(status_code=204)
        return JSONResponse(body, status)

    @property
    def app(self) -> Starlette:
        methods = ["GET", "POST", "PATCH", "DELETE"]
        return Starlette(routes=[Route("/{path:path}", self.on_request, methods=methods)])

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client that reaches it without a socket."""
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://dialer:5002") as http:
            yield http
