"""The console's files: read once, sent small and only when changed, with nothing from elsewhere.

They hold no data of anybody's, so strangers may read them: the login is a part of the page.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.gateway.calls.routing import base_of_host
from services.gateway.console.door import Door, in_place
from services.gateway.console.problem import Problem

STATIC = Path(__file__).with_name("static")
_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_INDEX = "index.html"


@dataclass(frozen=True, slots=True)
class Page:
    """A file, as it is and compressed."""

    kind: str
    etag: str
    body: bytes
    packed: bytes


def read_pages(folder: Path = STATIC) -> Mapping[str, Page]:
    """Read all files of a folder that browsers may have, by name."""
    return {path.name: _read(path) for path in sorted(folder.iterdir()) if path.suffix in _KINDS}


def _read(path: Path) -> Page:
    body = path.read_bytes()
    digest = hashlib.sha256(body).hexdigest()[:20]
    return Page(_KINDS[path.suffix], f'W/"{digest}"', body, gzip.compress(body, 9, mtime=0))


def security_headers(host: str) -> dict[str, str]:
    """Return what browsers are told to allow: our own files and API, and the microphone.

    The media socket is named beside 'self', which does not include it in every browser.
    """
    sockets = f" ws://{host} wss://{host}" if base_of_host(host) is not None else ""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        f"media-src 'self' blob:; connect-src 'self'{sockets}; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "content-security-policy": policy,
        "permissions-policy": "microphone=(self), camera=(), geolocation=()",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cross-origin-resource-policy": "same-origin",
    }


def page_routes(pages: Mapping[str, Page]) -> APIRouter:
    """Return the routes of the files, all below /console/."""
    router = APIRouter()

    async def to_page() -> Response:
        # Relative: whoever stands in front of us may have a path of their own.
        return RedirectResponse("console/", 307)

    async def read_page(request: Request, _: Annotated[Door, Depends(in_place)]) -> Response:
        page = pages.get(request.path_params.get("name", _INDEX))
        if page is None:
            raise Problem(404, "There is no such page.")
        return _answer(request, page)

    router.add_api_route("/console", to_page, methods=["GET", "HEAD"], response_model=None)
    for path in ("/console/", "/console/static/{name}"):
        router.add_api_route(path, read_page, methods=["GET", "HEAD"], response_model=None)
    return router


def _answer(request: Request, page: Page) -> Response:
    headers = security_headers(request.headers.get("host", "")) | {
        "cache-control": "no-cache",
        "etag": page.etag,
        "vary": "accept-encoding",
    }
    known = {tag.strip() for tag in request.headers.get("if-none-match", "").split(",")}
    if page.etag in known:
        return Response(status_code=304, headers=headers)
    is_packed = "gzip" in request.headers.get("accept-encoding", "")
    if is_packed:
        headers["content-encoding"] = "gzip"
    body = page.packed if is_packed else page.body
    return Response(body, media_type=page.kind, headers=headers)


def problem_page(problem: Problem, host: str) -> Response:
    """Return a problem for somebody who has opened the console in a browser."""
    html = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Parley console</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<h1>Parley console</h1><p>{escape(problem.words)}</p></html>"
    )
    return Response(
        html, problem.status, security_headers(host), media_type="text/html; charset=utf-8"
    )
