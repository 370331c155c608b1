"""The console, put together: its page, its login, and the routers of its API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.gateway.console import campaigns, dial, live, now, past, talk
from services.gateway.console.door import Door, Mode, in_place, json_body
from services.gateway.console.pages import page_routes, problem_page, read_pages
from services.gateway.console.problem import Problem
from services.gateway.state import GatewayState

API = "/console/api"
InPlace = Annotated[Door, Depends(in_place)]


@dataclass(frozen=True, slots=True)
class Features:
    """What this installation has for the console to show."""

    has_dialer: bool = False
    has_charts: bool = False


def install_console(app: FastAPI, state: GatewayState, features: Features) -> None:
    """Add the console to an application.

    Args:
        app: what it is added to.
        state: the gateway's.
        features: told to the page.
    """
    app.state.console_door = Door(state)
    app.add_exception_handler(Problem, _say_problem)
    app.include_router(page_routes(read_pages()))
    app.include_router(_session_routes(features))
    for router in (talk.router, now.router, past.router, live.router, dial.router):
        app.include_router(router)
    for router in campaigns.routers():
        app.include_router(router)


def _say_problem(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Problem)
    if not request.url.path.startswith(API):
        return problem_page(exc, request.headers.get("host", ""))
    body = {**exc.more, "problem": exc.words}
    return JSONResponse(body, exc.status, {"cache-control": "no-store"})


def _session_routes(features: Features) -> APIRouter:
    router = APIRouter(prefix=API)

    async def session(request: Request, door: InPlace) -> Response:
        said = {
            "mode": door.mode,
            "is_logged_in": door.is_logged_in(request),
            "version": _version(),
            "has_dialer": features.has_dialer,
            "has_charts": features.has_charts,
        }
        return JSONResponse(said, headers={"cache-control": "no-store"})

    async def login(
        request: Request, door: InPlace, body: Annotated[Mapping[str, Any], Depends(json_body)]
    ) -> Response:
        if door.mode is not Mode.LOGIN:
            raise Problem(404, "There is no password here.")
        door.check_write(request)
        password = body.get("password")
        response = Response(status_code=204)
        door.log_in(request, password if isinstance(password, str) else "", response)
        return response

    async def logout(request: Request, door: InPlace) -> Response:
        door.check_write(request)
        response = Response(status_code=204)
        door.log_out(response)
        return response

    router.add_api_route("/session", session, methods=["GET"], response_model=None)
    router.add_api_route("/login", login, methods=["POST"], response_model=None)
    router.add_api_route("/logout", logout, methods=["POST"], response_model=None)
    return router


def _version() -> str:
    try:
        return version("parley")
    except PackageNotFoundError:
        return ""
