"""A tool that is an HTTP request, declared in the agent's file.

The request goes to an address that was looked up and judged here, and to no other: the name is not
looked up a second time, redirects are not followed, no proxy of the environment is used. What
comes back is read to a bound. Secrets fill places of the request and are seen nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from pydantic import SecretStr

from services.agent.agents.file import HttpTool
from services.agent.providers.base import CallFacts, ToolSpec
from services.agent.providers.registry import Secrets
from services.agent.tools import templates
from services.agent.tools.base import ToolContext, ToolResult, ToolUnusable
from services.agent.tools.schema import schema_fault
from services.agent.tools.templates import Unfillable, Values
from shared.runtime.addresses import is_public
from shared.runtime.outbound_http import Resolver, resolve_host

MAX_ANSWER_BYTES = 64 * 1024
_MAX_RESULT_CHARS = 4000
_MAX_ERROR_CHARS = 500
_MAX_CONNECTIONS = 20
_FACTS = frozenset({"call.from", "call.to", "call.id"})
_BROUGHT = ("metadata.", "variables.")
_BODYLESS = frozenset({"GET", "DELETE"})
_OWN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "accept-encoding", "connection", "upgrade"}
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class HttpRequestTool:
    """See Tool.

    Args:
        declared: as in the agent's file.
        secrets: where its secrets come from; read at each use, so that they can be changed.
        resolve: looks hosts up.

    Raises:
        ToolUnusable: a template or the schema is wrong.
    """

    def __init__(
        self, declared: HttpTool, secrets: Secrets, *, resolve: Resolver = resolve_host
    ) -> None:
        _check(declared)
        self._declared = declared
        self._secrets = secrets
        self._resolve = resolve
        self._client: httpx.AsyncClient | None = None
        self.spec = ToolSpec(declared.name, declared.description, declared.parameters)
        self.acts = declared.acts if declared.acts is not None else declared.method != "GET"
        self.timeout_s = declared.timeout_s
        self.filler = declared.filler

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """See Tool."""
        secrets = {name: _reveal(self._secrets.get(name)) for name in self._declared.secrets}
        if missing := [name for name, secret in secrets.items() if not secret]:
            return _failed(f"The tool is not set up: {', '.join(missing)} is not set.")
        values = Values(arguments, _facts(context.call), secrets)
        try:
            url = templates.fill_url(self._declared.url, self._declared.query, values)
        except Unfillable as exc:
            return ToolResult(str(exc), outcome="refused")
        address = await self._address()
        if isinstance(address, ToolResult):
            return address
        return await self._request(url, address, arguments, values)

    async def _address(self) -> str | ToolResult:
        """Return the address to connect to, or why there is none."""
        parts = urlsplit(self._declared.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            addresses = await self._resolve(parts.hostname or "", port)
        except OSError:
            addresses = ()
        if not addresses:
            return _failed("The service could not be found.")
        if not self._declared.allow_private and not all(map(is_public, addresses)):
            return ToolResult(
                "The service has an address that is not public, so it was not asked.",
                outcome="refused",
            )
        return addresses[0]

    async def _request(
        self, url: str, address: str, arguments: Mapping[str, Any], values: Values
    ) -> ToolResult:
        parts = urlsplit(self._declared.url)
        host = f"[{address}]" if ":" in address else address
        target = f"{host}:{parts.port}" if parts.port else host
        headers = {
            "Accept": "application/json, text/plain;q=0.9, */*;q=0.5",
            **self._declared.headers,
            "Host": parts.netloc,
            "Accept-Encoding": "identity",
        }
        content, content_type = _body(self._declared, arguments, values)
        if content_type and "content-type" not in {name.lower() for name in headers}:
            headers["Content-Type"] = content_type
        client = await self._open_client()
        request = client.build_request(
            self._declared.method,
            url.replace(f"//{parts.netloc}", f"//{target}", 1),
            headers=[
                (name.encode(), templates.fill_header(value, values).encode(errors="replace"))
                for name, value in headers.items()
            ],
            content=content,
            extensions={"sni_hostname": parts.hostname} if parts.scheme == "https" else {},
        )
        try:
            answer = await client.send(request, stream=True, follow_redirects=False)
            try:
                return await _read(answer, values.secrets.values())
            finally:
                await answer.aclose()
        except httpx.TimeoutException:
            raise TimeoutError from None
        except httpx.HTTPError as exc:
            return _failed(f"The service could not be reached ({type(exc).__name__}).")

    async def _open_client(self) -> httpx.AsyncClient:
        """Return the tool's client.

        One a tool: a connection that is kept was made for this tool's host and no other.
        """
        if self._client is not None:
            return self._client
        verify: ssl.SSLContext | bool = False
        if self._declared.url.startswith("https://"):
            # The authorities take 25 ms to load, which no frame should wait for.
            verify = await asyncio.to_thread(httpx.create_ssl_context, trust_env=False)
        if self._client is None:
            limits = httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=4)
            self._client = httpx.AsyncClient(
                verify=verify, timeout=self.timeout_s, limits=limits, trust_env=False
            )
        return self._client

    async def aclose(self) -> None:
        """See Tool."""
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()


def _check(declared: HttpTool) -> None:
    fault = templates.url_fault(declared.url) or schema_fault(declared.parameters)
    known = {*declared.parameters.get("properties", {}), *_FACTS}
    known |= {f"secret.{name}" for name in declared.secrets}
    places = (
        *templates.places_in(declared.url),
        *templates.places_in(declared.query),
        *templates.places_in(declared.headers),
        *templates.places_in(declared.body),
    )
    unknown = [p for p in places if p not in known and not p.startswith(_BROUGHT)]
    for name in declared.headers:
        if name.lower() in _OWN_HEADERS or not _HEADER_NAME.fullmatch(name):
            fault = fault or f"the header {name!r} cannot be set"
    if fault is None and unknown:
        fault = f"nothing fills the place {{{unknown[0]}}}"
    if fault is not None:
        raise ToolUnusable(f"{declared.name}: {fault}")


def _reveal(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""


def _facts(call: CallFacts) -> dict[str, str]:
    return {
        "call.from": call.from_number,
        "call.to": call.to_number,
        "call.id": call.call_id,
        **{f"metadata.{name}": value for name, value in call.metadata.items()},
        **{f"variables.{name}": value for name, value in call.variables.items()},
    }


def _body(
    declared: HttpTool, arguments: Mapping[str, Any], values: Values
) -> tuple[bytes | None, str]:
    """Return the body and its type: what the file says, or the arguments as they are."""
    if declared.method in _BODYLESS and declared.body is None:
        return None, ""
    body = dict(arguments) if declared.body is None else templates.fill_body(declared.body, values)
    if isinstance(body, str):
        return body.encode(errors="replace"), "text/plain; charset=utf-8"
    return json.dumps(body).encode(), "application/json"


async def _read(answer: httpx.Response, secrets: Collection[str]) -> ToolResult:
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        return _failed("The service sent a compressed answer, which was not asked for.")
    raw, is_cut = b"", False
    async for chunk in answer.aiter_raw(MAX_ANSWER_BYTES):
        raw += chunk
        if len(raw) > MAX_ANSWER_BYTES:
            raw, is_cut = raw[:MAX_ANSWER_BYTES], True
            break
    text = _without(_readable(raw, answer.charset_encoding), secrets)
    if 300 <= answer.status_code < 400:
        return _failed(f"The service sent us elsewhere (status {answer.status_code}).")
    if answer.status_code >= 400:
        text = _cut(text, _MAX_ERROR_CHARS, is_cut=is_cut)
        return _failed(f"The service answered with status {answer.status_code}. {text}".strip())
    return ToolResult(_cut(text, _MAX_RESULT_CHARS, is_cut=is_cut) or "Done.")


def _readable(raw: bytes, charset: str | None) -> str:
    try:
        text = raw.decode(charset or "utf-8", errors="replace")
    except LookupError:
        text = raw.decode("utf-8", errors="replace")
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return text.replace("\x00", "").strip()


def _cut(text: str, most_chars: int, *, is_cut: bool) -> str:
    if len(text) <= most_chars and not is_cut:
        return text
    return f"{text[:most_chars]} (the rest was cut)"


def _failed(text: str) -> ToolResult:
    return ToolResult(text, outcome="failed")


def _without(text: str, secrets: Collection[str]) -> str:
    """Return a text in which a service's echo of our secrets can't be read."""
    for secret in secrets:
        for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe="")):
            text = text.replace(form, "***")
    return text
