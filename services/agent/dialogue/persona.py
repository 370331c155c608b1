"""An agent's file as a speech brain reads it, its tools run as those of a language model are."""

from __future__ import annotations

from collections.abc import Sequence

from services.agent.agents.file import AgentFile
from services.agent.dialogue.local import first_language, local_texts
from services.agent.dialogue.prompt import fill_facts, system_text
from services.agent.dialogue.tool_runs import Ran, ToolRuns
from services.agent.providers.base import CallFacts, Confirmation, Piece, ToolCall
from services.agent.providers.persona import Persona
from services.agent.tools.base import ToolContext
from services.agent.tools.toolbox import ToolBox


def make_persona(file: AgentFile, toolbox: ToolBox) -> Persona:
    """Return who the agent is; whoever made the toolbox closes it."""
    return Persona(
        instructions=lambda call: _instructions(file, call),
        greeting=lambda call: _greeting(file, call),
        tools=toolbox.specs,
        open_tools=lambda call: _CallTools(file, toolbox, call),
    )


def _instructions(file: AgentFile, call: CallFacts) -> str:
    texts = local_texts(file, first_language(file, call))
    return system_text(texts.prompt, call, texts.prompt_language, is_phone_style=file.phone_style)


def _greeting(file: AgentFile, call: CallFacts) -> str:
    return fill_facts(local_texts(file, first_language(file, call)).greeting, call)


class _CallTools:
    """ToolRunner of one call: nothing that acts is run on a guess, or twice in a turn."""

    def __init__(self, file: AgentFile, toolbox: ToolBox, call: CallFacts) -> None:
        self._runs = ToolRuns(toolbox, call.call_id)
        self._context = ToolContext(call, first_language(file, call))

    async def __call__(
        self, call: ToolCall, confirmation: Confirmation
    ) -> tuple[str, Sequence[Piece]]:
        ran = await self._runs.run(call.call_id, [call], self._context, confirmation, _ignore)
        return ran[0].result.text, (ran[0].used, *ran[0].result.pieces)


def _ignore(_call: ToolCall, _ran: Ran | None) -> None:
    """The server keeps what tools gave; there is nothing to note here."""
