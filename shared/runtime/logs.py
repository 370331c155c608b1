"""structlog, JSON unless a terminal reads it; the standard library's loggers go the same way."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import structlog

from shared.runtime.concern import present
from shared.runtime.tracing import kept_trace_id

# At DEBUG they would log each frame; the vendors' SDKs prompts and what callers said, too.
_KEPT_QUIET = (
    *("websockets", "uvicorn", "httpx", "httpcore", "pyngrok"),
    *("openai", "httpx2", "httpcore2", "deepgram", "livekit"),
)
_SECRET_KEYS = ("token", "secret", "password", "authorization", "api_key")

# Without local variables: they hold numbers, transcripts and secrets.
_dict_tracebacks = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def _hide_secrets(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    for key in event:
        if any(word in key.lower() for word in _SECRET_KEYS):
            event[key] = "***"
    return event


class _CallNamer:
    """Puts the call that the work in hand is about on each line, and the id of its trace.

    Args:
        traced_share: the share of calls that are traced.
    """

    def __init__(self, traced_share: float) -> None:
        self._traced_share = traced_share

    def __call__(
        self, _logger: Any, _name: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        if "call_id" not in event and (concern := present()) is not None:
            event["call_id"] = concern.call_id
        if self._traced_share and "call_id" in event:
            trace_id = kept_trace_id(str(event["call_id"]), self._traced_share)
            if trace_id is not None:
                event["trace_id"] = trace_id
        return event


def configure_logging(
    service: str, *, level: str = "INFO", log_format: str = "auto", traced_share: float = 0.0
) -> None:
    """Set up logging for a process.

    Args:
        service: bound to every line.
        level: DEBUG, INFO, WARNING or ERROR.
        log_format: json, console, or auto (console on a terminal).
        traced_share: of calls; lines about these have the id of their trace.
    """
    as_json = log_format == "json" or (log_format == "auto" and not sys.stdout.isatty())
    shared: list[Callable[..., Any]] = [
        structlog.contextvars.merge_contextvars,
        _CallNamer(traced_share),
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _hide_secrets,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    )
    exceptions: list[Callable[..., Any]] = [_dict_tracebacks] if as_json else []
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *exceptions,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in _KEPT_QUIET:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    structlog.contextvars.bind_contextvars(service=service)
