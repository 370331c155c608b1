"""The dialer's HTTP application: routers put together, errors as problems, writes on the trail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

from services.dialer.access.audit import Audited, AuditTrail
from services.dialer.desk.upload import throw_away
from services.dialer.errors import DialerError
from services.dialer.problems import MEDIA_TYPE, Problem, Refused, bus_problem, problem_of
from shared.bus.base import Bus, BusUnavailable
from shared.metrics.server import ops_routes
from shared.vobiz.errors import VobizFailure

_log = structlog.get_logger(__name__)


def create_app(
    routers: Iterable[APIRouter],
    bus: Bus,
    registry: CollectorRegistry,
    *,
    audit: AuditTrail | None = None,
    is_draining: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """Return the application.

    Args:
        routers: of the API, each with its own way through the door.
        bus: asked for readiness.
        registry: what /metrics shows.
        audit: where writes are written down; None: nowhere.
        is_draining: called for readiness; true while the process is stopping.
    """

    async def ready() -> Mapping[str, str]:
        states = {"redis": "ok" if await bus.ping() else "unavailable"}
        if is_draining():
            states["dialer"] = "draining"
        return states

    app = FastAPI(
        title="Parley dialer",
        description="Outbound calls: one by one, and in campaigns.",
        docs_url=None,
        redoc_url=None,
    )
    for router in routers:
        app.include_router(router)
    app.router.routes.extend(ops_routes(registry, ready))
    if audit is not None:
        app.add_middleware(Audited, trail=audit)
    _add_problem_handlers(app)
    return app


def _add_problem_handlers(app: FastAPI) -> None:
    @app.exception_handler(DialerError)
    @app.exception_handler(VobizFailure)
    async def on_dialer_error(_: Request, error: DialerError | VobizFailure) -> JSONResponse:
        return problem_response(problem_of(error))

    @app.exception_handler(Refused)
    async def on_refused(request: Request, error: Refused) -> JSONResponse:
        if error.headers.get("Connection") == "close":
            await throw_away(request)
        return problem_response(error.problem, error.headers)

    @app.exception_handler(BusUnavailable)
    async def on_bus_unavailable(_: Request, error: BusUnavailable) -> JSONResponse:
        _log.warning("records_unavailable", error=str(error))
        return problem_response(bus_problem())

    @app.exception_handler(RequestValidationError)
    async def on_bad_parameters(_: Request, error: RequestValidationError) -> JSONResponse:
        places = ", ".join(str(fault["loc"][-1]) for fault in error.errors())
        detail = f"These can't be read: {places}."
        return problem_response(Problem.of("invalid-request", detail))

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = _allowed(app, request) or headers.get("Allow", "")
            return problem_response(Problem.of("method-not-allowed"), headers)
        if error.status_code == 404:
            return problem_response(Problem.of("not-found"), headers)
        problem = Problem(error.status_code, "http-error", str(error.detail))
        return problem_response(problem, headers)

    @app.exception_handler(Exception)
    async def on_bug(_: Request, error: Exception) -> JSONResponse:
        # Logged by the server, to which Starlette raises it again.
        return problem_response(Problem.of("internal", "This is a bug."))


def _allowed(app: FastAPI, request: Request) -> str:
    """Return all methods of a path; a router names those of one of its routes alone."""
    path = getattr(request.scope.get("route"), "path", "")
    return ", ".join(sorted(method.upper() for method in app.openapi()["paths"].get(path, {})))


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return a problem as a response."""
    sent = dict(headers or {})
    if problem.retry_after_s is not None:
        sent["Retry-After"] = str(problem.retry_after_s)
    return JSONResponse(
        problem.to_json(), status_code=problem.status, headers=sent, media_type=MEDIA_TYPE
    )
