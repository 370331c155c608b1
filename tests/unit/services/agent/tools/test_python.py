from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.agent.agents.file import AgentFile, PythonTool
from services.agent.providers.base import CallFacts, ToolCall, ToolUsed
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.tools.base import ToolContext, ToolResult, ToolUnusable
from services.agent.tools.python import ToolThreads
from services.agent.tools.toolbox import ToolBox
from shared.protocol.call import CallId, Direction

FACTS = CallFacts(CallId("c1"), "default", Direction.INBOUND, "+918000000001", "")
CONTEXT = ToolContext(FACTS, "en")
CONFIRMED = ReplyConfirmation(is_given=True)

MODULE = '''
from __future__ import annotations
import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Optional
from typing_extensions import TypedDict
from services.agent.tools.base import ToolContext, ToolResult
from .prices import PRICES
import threading

class Size(Enum):
    SMALL = "small"
    LARGE = "large"

@dataclass
class Address:
    city: str
    pin: int = 0

class Guest(TypedDict):
    name: str

ENDING = threading.Event()
SEEN = []

def book(
    day: Literal["monday", "sunday"],
    guests: int,
    share: float = 0.5,
    vip: bool = False,
    tags: list[str] | None = None,
    extra: Optional[dict] = None,
    size: Size = Size.SMALL,
    where: Address | None = None,
    who: Optional[Guest] = None,
):
    """Book a table
    for guests.

    More for people who read code.

    Args:
        day: the day,
            in English.
        guests (int): how many.

    Returns:
        what was booked.
    """
    SEEN.append((day, guests, size, where))
    return {"day": day, "size": size.value, "city": where.city if where else None}

async def price(item: str, context: ToolContext) -> str:
    """Tell a price."""
    return f"{PRICES[item]} for {context.call.from_number}"

def fail(secret: str) -> str:
    raise RuntimeError(f"no {secret}")

def nothing() -> None: ...

def long() -> str:
    return "x" * 9000

def address() -> Address:
    return Address("Pune")

def stop() -> ToolResult:
    return ToolResult("over", ends_reply=True)

def block() -> str:
    ENDING.wait(5)
    return "late"

async def wait() -> str:
    await asyncio.sleep(5)
    return "late"

def untyped(a):
    ...

def many(*args: int):
    ...

def strange(a: threading.Event):
    ...

def unknown(a: Missing):
    ...

not_a_function = 3
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(MODULE)
    (tmp_path / "prices.py").write_text("PRICES = {'tea': 'ten rupees'}")
    (tmp_path / "broken.py").write_text("raise ValueError('not today')")
    (tmp_path / "needy.py").write_text("import a_package_nobody_has")
    return tmp_path


@pytest.fixture
def use(folder: Path) -> Callable[..., Any]:
    async def run(name: str, arguments: Any = None, **fields: Any) -> tuple[ToolUsed, ToolResult]:
        tools = box(folder, f"shop:{name}", **fields)
        call = ToolCall("1", name, json.dumps(arguments or {}))
        try:
            return await tools.run(call, CONTEXT, CONFIRMED)
        finally:
            await tools.aclose()

    return run


def box(folder: Path | None, reference: str, **fields: Any) -> ToolBox:
    tool = PythonTool(python=reference, **fields)
    return ToolBox.build(AgentFile(tools=(tool,)), NoSecrets(), python_folder=folder)


class NoSecrets:
    def get(self, name: str) -> None:
        return None


def test_hints_and_docstring_become_the_models_view(folder: Path) -> None:
    spec = box(folder, "shop:book").specs[0]
    assert (spec.name, spec.description) == ("book", "Book a table for guests.")
    properties = spec.parameters["properties"]
    assert spec.parameters["required"] == ["day", "guests"]
    assert properties["day"] == {
        "enum": ["monday", "sunday"],
        "type": "string",
        "description": "the day, in English.",
    }
    assert properties["guests"]["description"] == "how many."
    assert properties["size"]["enum"] == ["small", "large"]
    assert properties["where"]["anyOf"][0]["properties"]["city"] == {"type": "string"}
    assert "$" not in json.dumps(spec.parameters)


async def test_arguments_arrive_as_the_hints_promise(use: Callable[..., Any]) -> None:
    arguments = {"day": "sunday", "guests": 2, "size": "large", "where": {"city": "Pune"}}
    used, result = await use("book", arguments)
    assert used.outcome == "ok"
    assert json.loads(result.text) == {"day": "sunday", "size": "large", "city": "Pune"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"day": "friday", "guests": 2}, "one of monday, sunday"),
        ({"day": "sunday"}, "'guests' is missing"),
        ({"day": "sunday", "guests": 2, "other": 1}, "no argument 'other'"),
        ({"day": "sunday", "guests": 2, "where": {}}, "'where.city' is missing"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused(
    use: Callable[..., Any], arguments: dict[str, Any], words: str
) -> None:
    used, result = await use("book", arguments)
    assert used.outcome == "refused"
    assert words in result.text


async def test_an_async_function_is_awaited_and_may_know_its_call(use: Callable[..., Any]) -> None:
    _, result = await use("price", {"item": "tea"})
    assert result.text == "ten rupees for +918000000001"


async def test_an_exception_is_a_failed_result_that_tells_nothing(
    use: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    used, result = await use("fail", {"secret": "hunter2"})
    assert (used.outcome, result.text) == ("failed", "The tool failed.")
    assert "hunter2" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nothing", "Done."),
        ("long", "x" * 4000 + " (cut)"),
        ("address", '{"city": "Pune", "pin": 0}'),
    ],
)
async def test_what_comes_back_is_made_readable(
    use: Callable[..., Any], name: str, text: str
) -> None:
    assert (await use(name))[1].text == text


async def test_a_function_may_return_a_whole_result(use: Callable[..., Any]) -> None:
    assert (await use("stop"))[1].ends_reply


async def test_a_slow_async_function_is_ended(use: Callable[..., Any]) -> None:
    used, _ = await use("wait", timeout_s=0.05)
    assert used.outcome == "timeout"


async def test_a_blocking_function_times_out_without_blocking_others(folder: Path) -> None:
    tools = box(folder, "shop:block", timeout_s=0.05, name="slow")
    tool = tools.get("slow")
    used, _ = await tools.run(ToolCall("1", "slow", ""), CONTEXT, CONFIRMED)
    assert used.outcome == "timeout"
    tool._function.__globals__["ENDING"].set()  # type: ignore[union-attr] # to end its thread
    await tools.aclose()


async def test_more_functions_than_threads_are_refused() -> None:
    threads, ending = ToolThreads(1), threading.Event()
    first = asyncio.ensure_future(threads.run(lambda: ending.wait(5)))
    await asyncio.sleep(0)
    with pytest.raises(BlockingIOError):
        await threads.run(lambda: None)
    ending.set()
    assert await first
    await asyncio.sleep(0.01)
    assert threads.busy == 0
    threads.close()


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("absent:x", "there is no module 'absent'"),
        ("needy:x", "there is no module 'a_package_nobody_has'"),
        ("broken:x", "cannot be imported: ValueError: not today"),
        ("shop:absent", "there is no function 'absent'"),
        ("shop:not_a_function", "there is no function"),
        ("shop:untyped", "'a' has no type hint"),
        ("shop:many", "'args' must have a name"),
        ("shop:strange", "a type without a schema"),
        ("shop:unknown", "a type hint cannot be read"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_named_with_its_reason(
    folder: Path, reference: str, words: str
) -> None:
    with pytest.raises(ToolUnusable, match=words):
        box(folder, reference)


def test_without_a_folder_there_are_no_python_tools() -> None:
    with pytest.raises(ToolUnusable, match="no folder"):
        box(None, "shop:book")
