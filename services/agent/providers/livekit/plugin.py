"""A plugin's class: imported when first wanted, and made outside of a LiveKit job.

LiveKit's classes normally find their HTTP session, keys and logging in the job they run in. There
is none here, so each provider brings a session of its own, its key comes from our secrets, and
the log is silenced, since its messages quote what callers and agents say.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from importlib import import_module
from typing import Any, Literal, TypeVar

from livekit import agents
from livekit.agents.types import APIConnectOptions
from livekit.agents.utils import http_context

from services.agent.providers.errors import FailureCause, ProviderUnavailable
from services.agent.providers.livekit.options import LiveKitOptions

Kind = Literal["STT", "LLM", "TTS"]
T = TypeVar("T")

_BASES: Mapping[Kind, type] = {"STT": agents.stt.STT, "LLM": agents.llm.LLM, "TTS": agents.tts.TTS}

# What suits a phone call, where the file does not say otherwise and the class has the argument.
_FOR_THE_PHONE: Mapping[tuple[str, Kind], Mapping[str, Any]] = {
    ("elevenlabs", "TTS"): {"encoding": "pcm_24000"},
    ("openai", "TTS"): {"response_format": "pcm"},  # the default is MP3: later, and worse
}


class Plugin:
    """One class of one plugin, made, with what it was given to live on.

    Must be made in the event loop that it is used in, and on the main thread, as LiveKit demands.

    Args:
        kind: which of the plugin's classes.
        options: of the agent's file.
        language: what it is to hear or speak.
        key: the value of the key.

    Attributes:
        made: the instance.
        name: for errors and metrics.
        connection: what LiveKit calls are to be given: no retries of its own, our bound.

    Raises:
        ProviderUnavailable: not installed, no such class, unknown options, or refused them.
    """

    def __init__(self, kind: Kind, options: LiveKitOptions, language: str, key: str) -> None:
        self.name = options.provider
        self.connection = APIConnectOptions(max_retry=0, timeout=options.timeout_s)
        made_by = _load(kind, options)
        arguments = _arguments(made_by, kind, options, language, key)
        self._session: Any = None
        if "http_session" in _parameters(made_by):
            # aiohttp comes with livekit-agents and is nothing we use otherwise.
            self._session = import_module("aiohttp").ClientSession()
            arguments["http_session"] = self._session
        try:
            self.made: Any = made_by(**arguments)
        except (TypeError, ValueError) as exc:
            if self._session is not None:
                self._session.detach()  # not used yet: there is nothing to wait for
            raise ProviderUnavailable(
                self.name, f"refused its options: {_without(str(exc), key)}", FailureCause.MISSING
            ) from None

    async def aclose(self) -> None:
        """Close the instance and its session; may be called twice."""
        try:
            await self.made.aclose()
            # Some classes (OpenAI's STT of 1.8) leave their own HTTP client open.
            close = getattr(getattr(self.made, "_client", None), "close", None)
            if inspect.iscoroutinefunction(close):
                await close()
        finally:
            if self._session is not None:
                await self._session.close()

    def job_context(self) -> AbstractAsyncContextManager[Any]:
        """Return what a class needs around it that looks for its HTTP session in a job.

        To be entered by a task of ours that does nothing else: it holds for the whole task.
        """
        return http_context.open() if self._session is None else nullcontext()


def _load(kind: Kind, options: LiveKitOptions) -> type[Any]:
    # Child loggers follow this one; failures reach us as exceptions.
    logging.getLogger("livekit").setLevel(logging.CRITICAL)
    try:
        module = import_module(f"livekit.plugins.{options.plugin}")
    except ImportError as exc:
        raise ProviderUnavailable(
            options.provider,
            f"{exc.name or 'a package'} is missing: pip install livekit-agents "
            f"livekit-plugins-{options.plugin.replace('_', '-')}",
            FailureCause.MISSING,
        ) from exc
    except (RuntimeError, OSError) as exc:  # not on the main thread; a library of the system's
        raise ProviderUnavailable(
            options.provider, f"cannot be imported: {type(exc).__name__}", FailureCause.MISSING
        ) from exc
    name = options.class_name or kind
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, _BASES[kind])):
        raise ProviderUnavailable(
            options.provider, f"the plugin has no class {name} of this kind", FailureCause.MISSING
        )
    return found


def _parameters(made_by: type[Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(made_by).parameters


def _arguments(
    made_by: type[Any], kind: Kind, options: LiveKitOptions, language: str, key: str
) -> dict[str, Any]:
    parameters = _parameters(made_by)
    known = {name for name in parameters if not name.startswith("_")}
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    given = options.arguments
    unknown = sorted(set(given) - known)
    if unknown and not takes_any:
        usable = ", ".join(sorted(known - {"http_session", "client", options.key_argument}))
        raise ProviderUnavailable(
            options.provider,
            f"{kind} has no option {', '.join(unknown)}; there are {usable}",
            FailureCause.MISSING,
        )
    defaults = dict(_FOR_THE_PHONE.get((options.plugin, kind), {}))
    if kind == "STT":
        defaults["sample_rate"] = 8000  # the caller's own: more would hold no more
    if kind != "LLM":
        defaults["language"] = language
    chosen = {name: value for name, value in defaults.items() if name in known}
    if options.key_argument in known or takes_any:
        chosen[options.key_argument] = key
    return chosen | given


def _without(text: str, key: str) -> str:
    return text.replace(key, "(key)") if key else text
