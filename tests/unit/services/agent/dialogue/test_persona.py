"""Who a speech brain is to be, and how it uses the agent's tools."""

from __future__ import annotations

from dataclasses import replace

from services.agent.agents.file import AgentFile
from services.agent.dialogue.persona import make_persona
from services.agent.providers.base import EndCall, ToolCall, ToolUsed
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.tools.base import ToolResult
from services.agent.tools.toolbox import ToolBox
from tests.support.tools import FakeTool
from tests.support.workshop import FACTS

FILE = AgentFile.model_validate(
    {
        "greeting": "Hello {metadata.name}.",
        "prompt": "You sell to {metadata.name} of {call.from}.",
        "languages": {"hi": {"greeting": "Namaste {metadata.name}."}},
    }
)
CALL = replace(FACTS, metadata={"name": "Asha"})
CERTAIN = ReplyConfirmation(is_given=True)


def test_the_prompt_and_the_greeting_hold_the_facts_of_the_call() -> None:
    persona = make_persona(FILE, ToolBox([]))
    assert "You sell to Asha of +918000000001." in persona.instructions(CALL)
    assert persona.greeting(CALL) == "Hello Asha."
    assert persona.greeting(replace(CALL, language="hi")) == "Namaste Asha."


def test_how_one_speaks_on_a_phone_is_told_unless_it_is_not_wanted() -> None:
    told = make_persona(FILE, ToolBox([])).instructions(CALL)
    plain = make_persona(FILE.model_copy(update={"phone_style": False}), ToolBox([]))
    assert "telephone" in told
    assert "telephone" not in plain.instructions(CALL)


async def test_tools_are_run_once_and_their_pieces_come_with_what_was_used() -> None:
    tool = FakeTool(acts=True, result=ToolResult("done", (EndCall("bye"),)))
    persona = make_persona(FILE, ToolBox([tool]))
    assert [spec.name for spec in persona.tools] == ["look_up"]
    assert persona.open_tools is not None
    run = persona.open_tools(CALL)
    text, pieces = await run(ToolCall("call-1", "look_up", "{}"), CERTAIN)
    assert text == "done"
    used, *rest = pieces
    assert isinstance(used, ToolUsed)
    assert (used.name, used.outcome, rest) == ("look_up", "ok", [EndCall("bye")])
    again, _ = await run(ToolCall("call-1", "look_up", "{}"), CERTAIN)
    assert (again, len(tool.used)) == ("done", 1)
    assert tool.contexts[0].call is CALL


async def test_a_tool_that_is_not_there_is_told_to_the_model() -> None:
    persona = make_persona(FILE, ToolBox([]))
    assert persona.open_tools is not None
    text, pieces = await persona.open_tools(CALL)(ToolCall("call-1", "magic", "{}"), CERTAIN)
    assert "There is no such tool" in text
    assert [type(piece) for piece in pieces] == [ToolUsed]
