"""A collector of traces on loopback: takes OTLP over HTTP and keeps the spans, or behaves badly."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_POLL_S = 0.02


@dataclass(frozen=True)
class Told:
    """A span as it came; times are Unix seconds, attributes without their prefix."""

    name: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str
    began_s: float
    ended_s: float
    attributes: dict[str, Any]
    links: tuple[str, ...]
    error: str


@dataclass
class Collector:
    """What has come. `status` and `delay_s` are what the next requests get."""

    url: str = ""
    status: int = 200
    delay_s: float = 0.0
    spans: list[Told] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)

    def of_call(self, call_id: str) -> list[Told]:
        """The spans that say they are of a call, by their beginning."""
        spans = [span for span in self.spans if span.attributes.get("call_id") == call_id]
        return sorted(spans, key=lambda span: span.began_s)

    def wait_for(self, call_id: str, *names: str, limit_s: float = 10.0) -> list[Told]:
        """Wait until a call has spans of these names; return all of it."""
        deadline_s = time.monotonic() + limit_s
        while missing := set(names) - {span.name for span in self.of_call(call_id)}:
            if time.monotonic() > deadline_s:
                had = [span.name for span in self.of_call(call_id)]
                raise TimeoutError(f"no {sorted(missing)}; there are {had}")
            time.sleep(_POLL_S)
        return self.of_call(call_id)

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """Keep what a request brings."""
        request = ExportTraceServiceRequest.FromString(body)
        self.headers.append(headers)
        for part in request.resource_spans:
            resource = {pair.key: _value(pair.value) for pair in part.resource.attributes}
            self.resources.append(resource)
            for scope in part.scope_spans:
                self.spans += [_told(span, resource) for span in scope.spans]


def _told(span: Any, resource: dict[str, Any]) -> Told:
    return Told(
        span.name,
        str(resource.get("service.name", "")),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano / 1e9,
        span.end_time_unix_nano / 1e9,
        {pair.key.removeprefix("parley."): _value(pair.value) for pair in span.attributes},
        tuple(link.span_id.hex() for link in span.links),
        span.status.message,
    )


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Serve on a free port while the context lasts, in threads."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status = collector.status
            if status == 200:
                assert self.path == "/v1/traces"
                collector.take(body, {name.lower(): text for name, text in self.headers.items()})
            time.sleep(collector.delay_s)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
