"""A tool that is a Python function of the agent's owner: `module:function` of a mounted folder.

Its type hints are the schema, its docstring the description (the first paragraph, and each
parameter's line under `Args:`). A function that is not asynchronous runs in a thread of its own
few; a parameter annotated `ToolContext` gets the conversation's facts and is not the model's.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import re
import sys
import types
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, is_dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, get_type_hints

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from services.agent.agents.file import PythonTool
from services.agent.providers.base import ToolSpec
from services.agent.tools.base import ToolContext, ToolResult, ToolUnusable

_log = structlog.get_logger(__name__)
_MAX_RESULT_CHARS = 4000
_MAX_REF_DEPTH = 8
_PARAMETER = re.compile(r"^\s{2,}\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.+)$")


class ToolThreads:
    """Threads for functions that block; a busy one never makes another tool wait.

    Args:
        most: functions at work at once; more are refused. One that ignores its timeout keeps its
            thread until it ends.
    """

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._busy = 0
        self._pool: ThreadPoolExecutor | None = None

    @property
    def busy(self) -> int:
        """Functions at work now."""
        return self._busy

    async def run(self, work: Callable[[], Any]) -> Any:
        """Run a function in a thread and return its result.

        Raises:
            BlockingIOError: all threads are busy.
        """
        if self._busy >= self._most:
            raise BlockingIOError
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._most, "tool")
        loop = asyncio.get_running_loop()
        self._busy += 1
        future = self._pool.submit(work)
        future.add_done_callback(lambda done: self._on_done(loop, done))
        return await asyncio.wrap_future(future)

    def _on_done(self, loop: asyncio.AbstractEventLoop, _done: Future[Any]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        self._busy -= 1

    def close(self) -> None:
        """Take no more work; what runs goes on."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


class PythonFunctionTool:
    """See Tool.

    Args:
        declared: as in the agent's file.
        function: the function itself.
        threads: for one that blocks.

    Raises:
        ToolUnusable: a parameter without a type hint, or of a type that has no schema.
    """

    def __init__(
        self, declared: PythonTool, function: Callable[..., Any], threads: ToolThreads
    ) -> None:
        self._function = function
        self._threads = threads
        self.acts = declared.acts
        self.timeout_s = declared.timeout_s
        self.filler = declared.filler
        name = declared.name or declared.python.partition(":")[2]
        self._model, self._context_name = _arguments_model(name, function)
        description, _ = _read_docstring(function)
        self.spec = ToolSpec(name, description, _schema(self._model))

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """See Tool."""
        try:
            checked = self._model.model_validate(dict(arguments))
        except ValidationError as exc:
            return ToolResult(_sentence(exc), outcome="refused")
        keywords = {name: getattr(checked, name) for name in checked.model_fields_set}
        if self._context_name is not None:
            keywords[self._context_name] = context
        try:
            if inspect.iscoroutinefunction(self._function):
                result = await self._function(**keywords)
            else:
                result = await self._threads.run(lambda: self._function(**keywords))
        except BlockingIOError:
            return ToolResult("Too many requests are at work; try again later.", outcome="failed")
        except TimeoutError:
            raise
        except Exception as exc:  # noqa: BLE001 - the owner's code; a failed tool is no failed call
            # The message and the arguments may hold what the caller said.
            _log.warning("tool_raised", tool=self.spec.name, error=type(exc).__name__)
            return ToolResult("The tool failed.", outcome="failed")
        return result if isinstance(result, ToolResult) else ToolResult(_readable(result))

    async def aclose(self) -> None:
        """See Tool."""


def load_function(reference: str, folder: Path) -> Callable[..., Any]:
    """Return `module:function` of a folder.

    The modules of a folder are loaded once, as a package of their own: they can import each other
    relatively, and take no name from anybody else's.

    Raises:
        ToolUnusable: no such module or function, or the module cannot be imported.
    """
    module_name, _, function_name = reference.partition(":")
    package = f"parley_tools_{sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"
    if package not in sys.modules:
        made = types.ModuleType(package)
        made.__path__ = [str(folder.resolve())]
        sys.modules[package] = made
    try:
        importlib.invalidate_caches()
        module = importlib.import_module(f"{package}.{module_name}")
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").removeprefix(f"{package}.")
        raise ToolUnusable(f"{reference}: there is no module {missing!r} in {folder}") from exc
    except Exception as exc:  # the owner's module may raise anything
        raise ToolUnusable(f"{reference}: cannot be imported: {type(exc).__name__}: {exc}") from exc
    function = getattr(module, function_name, None)
    if not inspect.isfunction(function):
        raise ToolUnusable(f"{reference}: there is no function {function_name!r} in the module")
    return function


def _arguments_model(name: str, function: Callable[..., Any]) -> tuple[type[BaseModel], str | None]:
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as exc:
        raise ToolUnusable(f"{name}: a type hint cannot be read: {exc}") from exc
    _, described = _read_docstring(function)
    fields: dict[str, Any] = {}
    context_name = None
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name)
        if hint in (ToolContext, ToolContext | None):
            context_name = parameter.name
            continue
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolUnusable(f"{name}: the parameter {parameter.name!r} must have a name")
        if hint is None:
            raise ToolUnusable(f"{name}: the parameter {parameter.name!r} has no type hint")
        default = ... if parameter.default is parameter.empty else parameter.default
        description = described.get(parameter.name)
        fields[parameter.name] = (hint, Field(default, description=description))
    try:
        model: type[BaseModel] = create_model(
            name, __config__=ConfigDict(extra="forbid", protected_namespaces=()), **fields
        )
        _schema(model)
    except Exception as exc:  # pydantic has a whole tree of these, none common
        raise ToolUnusable(f"{name}: a parameter has a type without a schema: {exc}") from exc
    return model, context_name


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's JSON schema with its references put in place, as small models need it."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    plain: dict[str, Any] = _plain(schema, definitions, _MAX_REF_DEPTH)
    plain.setdefault("properties", {})
    return plain


def _plain(part: Any, definitions: Mapping[str, Any], depth: int) -> Any:
    if isinstance(part, list):
        return [_plain(one, definitions, depth) for one in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        if depth == 0:
            return {}
        named = definitions[part["$ref"].rpartition("/")[2]]
        rest = {key: value for key, value in part.items() if key != "$ref"}
        return _plain({**named, **rest}, definitions, depth - 1)
    return {
        key: {name: _plain(one, definitions, depth) for name, one in value.items()}
        if key == "properties"
        else _plain(value, definitions, depth)
        for key, value in part.items()
        if key != "title" or not isinstance(value, str)
    }


def _read_docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return a docstring's first paragraph on one line, and what it says of each parameter."""
    text = inspect.getdoc(function) or ""
    first = " ".join(text.split("\n\n", 1)[0].split())
    described: dict[str, str] = {}
    _, has_args, rest = text.partition("Args:\n")
    last = None
    for line in rest.splitlines() if has_args else ():
        if line and not line.startswith(" "):
            break
        if match := _PARAMETER.match(line):
            last = match[1]
            described[last] = match[2].strip()
        elif last is not None and line.strip():
            described[last] += f" {line.strip()}"
    return first, described


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"The argument {where!r} does not fit: {first['msg']}."


def _readable(result: Any) -> str:
    if result is None:
        return "Done."
    if is_dataclass(result) and not isinstance(result, type):
        result = asdict(result)
    elif isinstance(result, BaseModel):
        result = result.model_dump(mode="json")
    text = (
        result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str)
    )
    return text if len(text) <= _MAX_RESULT_CHARS else f"{text[:_MAX_RESULT_CHARS]} (cut)"
