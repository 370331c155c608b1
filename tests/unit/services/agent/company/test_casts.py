"""A worker's agents: chosen, made anew while calls go on, kept until their last call is over."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.agent.agents.library import Library
from services.agent.agents.load import Agent
from services.agent.company.cast import Cast
from services.agent.company.casting import Production
from services.agent.company.casts import Casts
from services.agent.providers.errors import FailureCause, ProviderUnavailable
from services.agent.tools.base import ToolUnusable
from tests.support.agents import make_loader
from tests.support.providers import FakeBrain
from tests.support.virtual_loop import in_virtual_time

SALES = "+918000000001"


@dataclass
class Stage:
    """A folder and the agents made of it; what is named in `broken` cannot be made."""

    folder: Path
    broken: dict[str, Exception] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    writes: int = 0

    def write(self, name: str, text: str) -> None:
        self.writes += 1
        path, new = self.folder / f"{name}.yaml", self.folder / f".{name}.new"
        new.write_text(text)
        os.utime(new, (self.writes, self.writes))
        new.replace(path)

    async def produce(self, agent: Agent) -> Production:
        if self.gate is not None:
            await self.gate.wait()
        if agent.file.greeting in self.broken:
            raise self.broken[agent.file.greeting]
        stack = AsyncExitStack()
        stack.callback(self.closed.append, agent.file.greeting)
        return Production(agent, Cast(agent.file, agent.version, {}, FakeBrain()), stack)

    def open(self) -> None:
        self.library = Library.open(self.folder, make_loader())
        self.casts = Casts(self.library, self.produce)

    async def reload(self) -> None:
        """Two looks, after which a change is taken over, and made."""
        await self.library.look()
        await self.library.look()
        await settle()

    def greeting(self, asked: str = "", called: str = "") -> str:
        return self.casts.choose(asked, called).file.greeting


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    stage.write("default", "greeting: default\n")
    stage.write("sales", f"greeting: sales\nnumbers: '{SALES}'\n")
    stage.open()
    await stage.casts.open()
    yield stage
    await stage.casts.aclose()


async def test_a_call_gets_whom_it_asks_for(stage: Stage) -> None:
    assert stage.casts.names == ["default", "sales"]
    assert stage.greeting("sales") == "sales"
    assert stage.greeting("default", SALES) == "sales"
    assert stage.greeting() == "default"
    assert stage.greeting("nobody") == "default"


@pytest.mark.parametrize(
    "error", [ProviderUnavailable("stt", "no", FailureCause.MISSING), ToolUnusable("no tool")]
)
async def test_an_agent_that_cannot_be_made_is_left_out_at_the_start(
    tmp_path: Path, error: Exception
) -> None:
    stage = Stage(tmp_path, {"sales": error})
    stage.write("default", "greeting: default\n")
    stage.write("sales", "greeting: sales\n")
    stage.open()
    with capture_logs() as logs:
        await stage.casts.open()
    assert [log["agent"] for log in logs if log["event"] == "agent_left_out"] == ["sales"]
    assert stage.greeting("sales") == "default"
    await stage.casts.aclose()


async def test_without_the_default_agent_nothing_starts(tmp_path: Path) -> None:
    stage = Stage(tmp_path, {"default": ToolUnusable("no tool")})
    stage.write("default", "greeting: default\n")
    stage.write("aardvark", "greeting: aardvark\n")
    stage.open()
    with pytest.raises(ToolUnusable):
        await stage.casts.open()
    await stage.casts.aclose()
    assert stage.closed == ["aardvark"]


async def test_a_new_version_takes_the_next_call(stage: Stage) -> None:
    stage.write("sales", "greeting: new sales\n")
    await stage.reload()
    assert stage.greeting("sales") == "new sales"
    assert stage.closed == ["sales"]


async def test_the_old_version_goes_with_its_last_call(stage: Stage) -> None:
    old = stage.casts.choose("sales", "")
    stage.casts.enter(old)
    stage.casts.enter(old)
    stage.write("sales", "greeting: new sales\n")
    await stage.reload()
    assert stage.greeting("sales") == "new sales"
    stage.casts.leave(old)
    await settle()
    assert stage.closed == []
    stage.casts.leave(old)
    await settle()
    assert stage.closed == ["sales"]


async def test_a_version_that_calls_have_left_is_kept_while_it_is_the_newest(stage: Stage) -> None:
    cast = stage.casts.choose("sales", "")
    stage.casts.enter(cast)
    stage.casts.leave(cast)
    await settle()
    assert stage.closed == []
    assert stage.casts.choose("sales", "") is cast


async def test_a_version_that_cannot_be_made_leaves_the_old_one(stage: Stage) -> None:
    stage.broken["bad sales"] = ProviderUnavailable("stt", "no", FailureCause.MISSING)
    stage.write("sales", "greeting: bad sales\n")
    with capture_logs() as logs:
        await stage.reload()
    assert [log["agent"] for log in logs if log["event"] == "agent_not_replaced"] == ["sales"]
    assert stage.greeting("sales") == "sales"
    assert stage.closed == []
    stage.write("sales", "greeting: good sales\n")
    await stage.reload()
    assert stage.greeting("sales") == "good sales"


async def test_a_new_agent_answers_and_one_that_is_removed_does_not(stage: Stage) -> None:
    stage.write("support", "greeting: support\nnumbers: '+918000000002'\n")
    await stage.reload()
    assert stage.greeting("", "+918000000002") == "support"
    (stage.folder / "sales.yaml").unlink()
    await stage.reload()
    assert stage.casts.names == ["default", "support"]
    assert stage.greeting("", SALES) == "default"
    assert stage.closed == ["sales"]


async def test_a_call_keeps_an_agent_that_was_removed(stage: Stage) -> None:
    cast = stage.casts.choose("sales", "")
    stage.casts.enter(cast)
    (stage.folder / "sales.yaml").unlink()
    await stage.reload()
    assert stage.closed == []
    stage.casts.leave(cast)
    await settle()
    assert stage.closed == ["sales"]


async def test_changes_are_made_in_order(stage: Stage) -> None:
    stage.gate = asyncio.Event()
    for version in ("second", "third"):
        stage.write("sales", f"greeting: {version}\n")
        await stage.reload()
    assert stage.greeting("sales") == "sales", "nobody waits for a new one"
    stage.gate.set()
    await settle()
    assert stage.greeting("sales") == "third"
    assert stage.closed == ["sales", "second"]


async def test_closing_lets_go_of_everything_once(stage: Stage) -> None:
    old = stage.casts.choose("sales", "")
    stage.casts.enter(old)
    stage.write("sales", "greeting: new sales\n")
    await stage.reload()
    await stage.casts.aclose()
    assert sorted(stage.closed) == ["default", "new sales", "sales"]
    stage.casts.leave(old)
    await settle()
    assert len(stage.closed) == 3


@in_virtual_time
async def test_agents_are_made_ready_side_by_side(tmp_path: Path) -> None:
    # One after another, a worker whose vendor hung took minutes to start.
    stage = Stage(tmp_path)
    for name in ("default", "one", "two"):
        stage.write(name, f"greeting: {name}\n")
    stage.open()

    async def produce_slowly(agent: Agent) -> Production:
        await asyncio.sleep(20.0)
        return await stage.produce(agent)

    casts, loop = Casts(stage.library, produce_slowly), asyncio.get_running_loop()
    began_s = loop.time()
    await casts.open()
    assert loop.time() - began_s == pytest.approx(20.0)
    assert casts.names == ["default", "one", "two"]
    await casts.aclose()
