from __future__ import annotations

import json
from typing import Any

import pytest

from services.agent.agents.file import AgentFile, HttpTool
from services.agent.providers.base import CallFacts, ToolCall
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.tools.base import ToolContext, ToolResult, ToolUnusable
from services.agent.tools.builtin import CallTool, make_builtin
from services.agent.tools.toolbox import ToolBox
from shared.protocol.call import CallId, Direction
from tests.unit.services.agent.tools.test_python import NoSecrets

CONTEXT = ToolContext(CallFacts(CallId("c1"), "default", Direction.INBOUND, "", ""), "en")
CONFIRMED = ReplyConfirmation(is_given=True)
SEND = make_builtin("send_dtmf", AgentFile())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("{", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("[" * 20_000, "too long"),
        ("[" * 9000, "not a JSON object"),
        ("", "'digits' is missing"),
        ('{"digits": "12;rm"}', "must match"),
    ],
)
async def test_faulty_arguments_are_told_to_the_model(arguments: str, words: str) -> None:
    tools = ToolBox([SEND])
    call = ToolCall("1", "send_dtmf", arguments)
    used, result = await tools.run(call, CONTEXT, ReplyConfirmation())
    assert used.outcome == "refused"
    assert words in result.text
    assert not tools.acts(call)


async def test_a_tool_that_crashes_is_a_failed_tool_and_tells_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def crash(_arguments: Any, _context: ToolContext) -> Any:
        raise RuntimeError("hunter2")

    tools = ToolBox([CallTool(SEND.spec, crash)])
    call = ToolCall("1", "send_dtmf", json.dumps({"digits": "1"}))
    used, _ = await tools.run(call, CONTEXT, CONFIRMED)
    assert used.outcome == "failed"
    assert "hunter2" not in "".join(capsys.readouterr())


async def test_a_result_is_bounded_whoever_made_it() -> None:
    tools = ToolBox([CallTool(SEND.spec, lambda _arguments, _context: ToolResult("x" * 90_000))])
    used, result = await tools.run(
        ToolCall("1", "send_dtmf", '{"digits": "1"}'), CONTEXT, CONFIRMED
    )
    assert (len(result.text), len(used.result)) == (8000, 1000)


async def test_the_time_of_a_use_is_measured() -> None:
    times = iter((10.0, 10.25))
    tools = ToolBox([SEND], now_s=lambda: next(times))
    used, _ = await tools.run(ToolCall("1", "send_dtmf", '{"digits": "1"}'), CONTEXT, CONFIRMED)
    assert used.seconds == 0.25


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tools": ["transfer"]}, "nobody under `transfer`"),
        ({"tools": ["switch_language"]}, "one language only"),
        ({"tools": ["hang_up", "hang_up"]}, "two tools have the name 'hang_up'"),
        (
            {"tools": [{"name": "x", "description": "", "url": "https://a.example/{day}"}]},
            "x: nothing fills the place {day}",
        ),
        (
            {"tools": [{"name": "x", "description": "", "url": "https://{metadata.h}/"}]},
            "x: the host of the URL cannot be a place",
        ),
        (
            {"tools": [{"name": "x", "description": "", "url": "https://a.example/{secret.K}"}]},
            "nothing fills the place {secret.K}",
        ),
        (
            {
                "tools": [
                    {
                        "name": "x",
                        "description": "",
                        "url": "https://a.example/",
                        "headers": {"host": "b.example"},
                    }
                ]
            },
            "the header 'host' cannot be set",
        ),
        (
            {
                "tools": [
                    {"name": "x", "description": "", "url": "https://a/", "parameters": {}},
                ]
            },
            "must be of type object",
        ),
    ],
)
def test_a_tool_that_cannot_be_made_is_named_with_its_reason(
    fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(ToolUnusable) as caught:
        ToolBox.build(AgentFile.model_validate(fields), NoSecrets())
    assert words in str(caught.value)


def test_there_is_no_built_in_tool_of_another_name() -> None:
    with pytest.raises(ToolUnusable, match="no built-in tool"):
        make_builtin("dance", AgentFile())


def test_what_reads_does_not_act_unless_the_file_says_so() -> None:
    def tool(**fields: Any) -> bool:
        declared = HttpTool(name="x", description="", url="https://a.example/", **fields)
        tools = ToolBox.build(AgentFile(tools=(declared,)), NoSecrets())
        return tools.acts(ToolCall("1", "x", "{}"))

    assert not tool()
    assert tool(method="POST")
    assert tool(acts=True)
    assert not tool(method="POST", acts=False)
