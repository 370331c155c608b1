"""The tools that every agent can have: they ask things of the call itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.agent.agents.file import AgentFile
from services.agent.dialogue.prompt import fill_facts
from services.agent.dialogue.texts import phrases_in
from services.agent.providers.base import (
    EndCall,
    GatherDigits,
    Piece,
    Say,
    SendDigits,
    SwitchLanguage,
    ToolSpec,
    Transfer,
)
from services.agent.tools.base import Tool, ToolContext, ToolResult, ToolUnusable

_TIMEOUT_S = 5.0
_NO_FILLER = ""


@dataclass(frozen=True, slots=True)
class CallTool:
    """A tool whose whole effect is pieces of the reply.

    It waits for confirmation as every tool that acts does: a call ended on a guess stays ended.
    """

    spec: ToolSpec
    use: Callable[[Mapping[str, Any], ToolContext], ToolResult]
    acts: bool = True
    timeout_s: float = _TIMEOUT_S
    filler: str | None = _NO_FILLER

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        """See Tool."""
        return self.use(arguments, context)

    async def aclose(self) -> None:
        """See Tool."""


def make_builtin(name: str, file: AgentFile) -> Tool:
    """Make a built-in tool for an agent.

    Raises:
        ToolUnusable: the agent's file lacks what it needs, or there is no such tool.
    """
    makers = {
        "hang_up": _hang_up,
        "transfer": _transfer,
        "send_dtmf": _send_dtmf,
        "switch_language": _switch_language,
        "gather_digits": _gather_digits,
    }
    if name not in makers:
        raise ToolUnusable(f"there is no built-in tool {name!r}")
    return makers[name](file)


def _spec(name: str, description: str, **properties: Mapping[str, Any]) -> ToolSpec:
    required = [key for key, part in properties.items() if "default" not in part]
    return ToolSpec(
        name,
        description,
        {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        },
    )


def _hang_up(file: AgentFile) -> Tool:
    def use(_arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        local = file.languages.get(context.language)
        goodbye = local.goodbye if local is not None and local.goodbye is not None else file.goodbye
        pieces: tuple[Piece, ...] = (EndCall("goodbye"),)
        if goodbye and not context.has_spoken:
            pieces = (Say(fill_facts(goodbye, context.call)), *pieces)
        return ToolResult("The call ends.", pieces, ends_reply=True)

    return CallTool(
        _spec(
            "hang_up",
            "End the call. Use it when the caller has said goodbye or wants nothing more. Say"
            " goodbye in the same answer.",
        ),
        use,
    )


def _transfer(file: AgentFile) -> Tool:
    if not file.transfer:
        raise ToolUnusable("transfer: the agent has nobody under `transfer`")

    def use(arguments: Mapping[str, Any], context: ToolContext) -> ToolResult:
        pieces: tuple[Piece, ...] = (Transfer(file.transfer[arguments["to"]]),)
        if not context.has_spoken:
            pieces = (Say(phrases_in(context.language).transferring), *pieces)
        return ToolResult(f"Transferred to {arguments['to']}.", pieces, ends_reply=True)

    return CallTool(
        _spec(
            "transfer",
            "Hand the caller over to a person. Tell the caller so in the same answer.",
            to={"type": "string", "enum": sorted(file.transfer)},
        ),
        use,
    )


def _send_dtmf(_file: AgentFile) -> Tool:
    def use(arguments: Mapping[str, Any], _context: ToolContext) -> ToolResult:
        return ToolResult("Pressed.", (SendDigits(arguments["digits"]),))

    return CallTool(
        _spec(
            "send_dtmf",
            "Press keys on the telephone, as for a menu of the other side; w waits half a second.",
            digits={"type": "string", "pattern": "^[0-9*#A-Dw]{1,32}$"},
        ),
        use,
    )


def _switch_language(file: AgentFile) -> Tool:
    languages = sorted({file.language, *file.languages})
    if len(languages) < 2:
        raise ToolUnusable("switch_language: the agent has one language only, see `languages`")

    def use(arguments: Mapping[str, Any], _context: ToolContext) -> ToolResult:
        language = arguments["language"]
        return ToolResult(
            f"From now on you are heard and understood in {language}. Go on in it.",
            (SwitchLanguage(language),),
        )

    return CallTool(
        _spec(
            "switch_language",
            "Speak and hear another language from now on. Use it as soon as the caller asks for"
            " it or speaks it.",
            language={"type": "string", "enum": languages},
        ),
        use,
    )


def _gather_digits(_file: AgentFile) -> Tool:
    def use(arguments: Mapping[str, Any], _context: ToolContext) -> ToolResult:
        request = GatherDigits(
            arguments["prompt"],
            most=arguments.get("most", 32),
            finish_on_key=arguments.get("finish_on_key", "#"),
        )
        return ToolResult("The keys come with the caller's next turn.", (request,), ends_reply=True)

    return CallTool(
        _spec(
            "gather_digits",
            "Ask the caller to press keys, such as an account number, and wait for them.",
            prompt={
                "type": "string",
                "minLength": 1,
                "maxLength": 500,
                "description": "what to say to the caller, in the language spoken",
            },
            most={"type": "integer", "minimum": 1, "maximum": 32, "default": 32},
            finish_on_key={"type": "string", "pattern": "^[0-9*#]?$", "default": "#"},
        ),
        use,
    )
