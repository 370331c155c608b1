"""PURE. What must hold of an agent's file beyond the types of its fields.

Problems keep a file from being used. Warnings do not: a key that is not set here may be set where
the agent runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, get_args
from urllib.parse import urlsplit

from pydantic import ValidationError

from services.agent.agents.faults import FieldPath, Problem, did_you_mean
from services.agent.agents.file import (
    AgentFile,
    Endpointing,
    HttpTool,
    Localised,
    ProviderChoice,
    Providers,
    PythonTool,
)
from services.agent.agents.flow_file import has_transfer
from services.agent.agents.plain_words import problems_of
from services.agent.agents.template import PLACEHOLDER, SECRET, unknown_names
from services.agent.providers.names import PROVIDERS, Kind, is_known, key_variable
from services.agent.providers.offline.flow import Flow
from services.agent.providers.registry import Registry, Secrets, read_options

_KINDS: tuple[Kind, ...] = get_args(Kind)
_SCHEMA_TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
_CHAINS: tuple[Kind, ...] = ("stt", "llm", "tts")


def find_problems(file: AgentFile, registry: Registry) -> Iterator[Problem]:
    """Yield what keeps a file, well-formed so far, from being used; its flow is judged apart."""
    for prefix, providers in _providers(file):
        for kind, path, choice in _choices(providers, prefix):
            yield from _provider(kind, path, choice, registry)
    yield from _templates(file)
    yield from _tools(file)
    yield from _transfers(file)
    yield from _endpointing(file.turn_taking.endpointing)
    if file.language in file.languages:
        yield Problem(("languages", file.language), "is the agent's own language already")
    if file.machine.then == "leave_message" and not file.machine.message:
        yield Problem(("machine", "message"), "is missing: it is what leave_message leaves")


def find_warnings(
    file: AgentFile, flow: Flow | None, secrets: Secrets, registry: Registry
) -> Iterator[Problem]:
    """Yield what an owner should know of a file that is used all the same."""
    yield from _left_out(file, secrets, registry)
    for name in _secrets_named(file):
        if secrets.get(name[1]) is None:
            yield Problem(name[0], f"{name[1]} is not set")
    llms = [choice.name for choice in file.providers.llm]
    if flow is None and not file.prompt:
        yield Problem((), "neither prompt nor flow: this agent has nothing to say but its greeting")
    elif flow is None and llms == ["offline"] and file.providers.realtime is None:
        path: FieldPath = ("providers", "llm")
        yield Problem(path, "offline answers by a flow, and there is none")
    elif not file.prompt and llms != ["offline"]:
        yield Problem(("prompt",), "is missing: a language model has nothing to go by")
    is_used = (
        "transfer" in file.tools
        or file.failure.then == "transfer"
        or (flow is not None and has_transfer(flow))
    )
    if file.recording.enabled and (file.data.redact or not file.data.keep_text):
        yield Problem(("recording",), "holds every word, also what `data` leaves out of the text")
    if file.transfer and not is_used:
        yield Problem(("transfer",), "nothing transfers: list the tool `transfer`, or take it out")


# --- providers ----------------------------------------------------------------------------------


def _providers(file: AgentFile) -> Iterator[tuple[FieldPath, Providers]]:
    yield ("providers",), file.providers
    for language, localised in file.languages.items():
        if localised.providers is not None:
            yield ("languages", language, "providers"), localised.providers


def _choices(
    providers: Providers, prefix: FieldPath
) -> Iterator[tuple[Kind, FieldPath, ProviderChoice]]:
    for kind in _KINDS:
        chosen = getattr(providers, kind)
        if isinstance(chosen, ProviderChoice):
            yield kind, (*prefix, kind), chosen
        elif chosen is not None:
            for place, choice in enumerate(chosen):
                yield kind, (*prefix, kind, place), choice


def _provider(
    kind: Kind, path: FieldPath, choice: ProviderChoice, registry: Registry
) -> Iterator[Problem]:
    if not is_known(kind, choice.name):
        known = [f"{name}:<plugin>" if name == "livekit" else name for name in PROVIDERS[kind]]
        likely = did_you_mean(choice.name, known)
        yield Problem(path, f"{choice.name!r} is no provider of {kind}{likely}")
        return
    entry = registry.entry(kind, choice.name)
    if entry is None:
        return
    try:
        read_options(entry, choice.name, choice.options)
    except ValidationError as exc:
        for problem in problems_of(exc, entry.options):
            yield problem.under((*path, choice.name))


def _left_out(file: AgentFile, secrets: Secrets, registry: Registry) -> Iterator[Problem]:
    for prefix, providers in _providers(file):
        left: dict[Kind, int] = dict.fromkeys(_CHAINS, 0)
        for kind, path, choice in _choices(providers, prefix):
            entry = registry.entry(kind, choice.name)
            variable = key_variable(kind, choice.name, choice.options)
            needs_key = bool(variable) and (entry is None or entry.needs_key)
            if needs_key and secrets.get(variable) is None:
                yield Problem(path, f"{choice.name} is left out: {variable} is not set")
            elif kind in left:
                left[kind] += 1
        for kind, count in left.items():
            if count == 0:
                yield Problem((*prefix, kind), "nobody is left: no call can be taken like this")


def _secrets_named(file: AgentFile) -> Iterator[tuple[FieldPath, str]]:
    for place, tool in enumerate(file.tools):
        if isinstance(tool, HttpTool):
            for name in tool.secrets:
                yield ("tools", place, "secrets"), name
    if file.after_call is not None and file.after_call.secret:
        yield ("after_call", "secret"), file.after_call.secret


# --- texts, transfer, times ---------------------------------------------------------------------


def _templates(file: AgentFile) -> Iterator[Problem]:
    texts: list[tuple[FieldPath, str | None]] = [
        (("greeting",), file.greeting),
        (("prompt",), file.prompt),
        (("machine", "message"), file.machine.message),
    ]
    for language, localised in file.languages.items():
        texts += _localised_texts(language, localised)
    for path, text in texts:
        for reason in unknown_names(text or ""):
            yield Problem(path, reason)


def _localised_texts(language: str, localised: Localised) -> Iterator[tuple[FieldPath, str | None]]:
    yield ("languages", language, "greeting"), localised.greeting
    yield ("languages", language, "prompt"), localised.prompt


def _transfers(file: AgentFile) -> Iterator[Problem]:
    failure = file.failure
    if failure.then == "transfer" and not file.transfer:
        yield Problem(("failure", "then"), "there is no number in `transfer` to transfer to")
    if failure.transfer_to is not None and failure.transfer_to not in file.transfer:
        likely = did_you_mean(failure.transfer_to, file.transfer)
        reason = f"there is no {failure.transfer_to!r} in `transfer`{likely}"
        yield Problem(("failure", "transfer_to"), reason)


def _endpointing(rules: Endpointing) -> Iterator[Problem]:
    """Waits that are written down must fit together; defaults give way to them."""
    names = ("least_wait_s", "wait_s", "most_wait_s")
    given = [(name, getattr(rules, name)) for name in names if name in rules.model_fields_set]
    given = [(name, value) for name, value in given if value is not None]
    for (low, low_s), (high, high_s) in pairwise(given):
        if low_s > high_s:
            path: FieldPath = ("turn_taking", "endpointing", high)
            yield Problem(path, f"should be at least {low}, which is {low_s:g}")


# --- tools --------------------------------------------------------------------------------------


def _tools(file: AgentFile) -> Iterator[Problem]:
    names: dict[str, int] = {}
    for place, tool in enumerate(file.tools):
        path: FieldPath = ("tools", place)
        name = tool_name(tool)
        if names.setdefault(name, place) != place:
            yield Problem(path, f"there is a tool {name!r} already")
        if tool == "transfer" and not file.transfer:
            yield Problem(path, "transfer needs numbers under the field `transfer`")
        if tool == "switch_language" and not file.languages:
            yield Problem(path, "switch_language needs another language under `languages`")
        if isinstance(tool, HttpTool):
            for problem in _http_tool(tool):
                yield problem.under(path)


def tool_name(tool: str | HttpTool | PythonTool) -> str:
    """Return the name by which a language model calls a tool."""
    if isinstance(tool, str):
        return tool
    return tool.name or (tool.python.partition(":")[2] if isinstance(tool, PythonTool) else "")


def _http_tool(tool: HttpTool) -> Iterator[Problem]:
    if not tool.description.strip():
        yield Problem(("description",), "is empty: the model goes by it")
    problems = list(_schema(tool.parameters))
    yield from problems
    if problems:
        return
    arguments = set(tool.parameters.get("properties", {}))
    for path, text in _templated(tool):
        for name in dict.fromkeys(PLACEHOLDER.findall(text)):
            if name.startswith(SECRET):
                secret = name.removeprefix(SECRET)
                if secret not in tool.secrets:
                    yield Problem(path, f"{{{name}}}: {secret} is not listed in `secrets`")
            elif name not in arguments:
                yield from (
                    Problem(path, reason) for reason in unknown_names(f"{{{name}}}", arguments)
                )
    fault = _address(tool.url)
    if fault is not None:
        yield Problem(("url",), fault)


def _address(url: str) -> str | None:
    """Why a template is no address to send to; None: it is one. The host is the owner's choice."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "can't be read as an address"
    if "{" in parts.netloc or "}" in parts.netloc:
        return "the host must stand as it is, without names in braces"
    if not parts.hostname:
        return "has no host"
    if "@" in parts.netloc:
        return "should hold no user or password; send a header instead"
    return "should have no part after a #" if parts.fragment else None


def _templated(tool: HttpTool) -> Iterator[tuple[FieldPath, str]]:
    yield ("url",), tool.url
    for key, values in (("headers", tool.headers), ("query", tool.query)):
        for name, text in values.items():
            yield (key, name), text
    yield from _strings(("body",), tool.body)


def _strings(path: FieldPath, value: Any) -> Iterator[tuple[FieldPath, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings((*path, key), inner)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _strings((*path, place), inner)


def _schema(schema: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the JSON schema of a tool's arguments."""
    path: FieldPath = ("parameters",)
    if schema.get("type") != "object":
        yield Problem(path, "should be a JSON schema with `type: object`")
        return
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        yield Problem((*path, "properties"), "should have the arguments below it")
        return
    for name, rule in properties.items():
        place = (*path, "properties", name)
        if not isinstance(rule, dict):
            yield Problem(place, "should be a JSON schema, such as {type: string}")
        elif "type" in rule and rule["type"] not in _SCHEMA_TYPES:
            likely = did_you_mean(str(rule["type"]), _SCHEMA_TYPES)
            yield Problem((*place, "type"), f"{rule['type']!r} is no type of JSON schema{likely}")
    required = schema.get("required", [])
    if not isinstance(required, list):
        yield Problem((*path, "required"), "should be a list")
        return
    for index, name in enumerate(required):
        if name not in properties:
            likely = did_you_mean(str(name), properties)
            yield Problem((*path, "required", index), f"{name!r} is no argument{likely}")
