"""A folder of agents: choosing, reloading. Looks are made by hand: no clock, no waiting."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.agent.agents.library import Library, LibraryOptions
from services.agent.agents.load import Agent, BadAgent
from services.agent.agents.overrides import Overrides
from shared.metrics.catalogue import AgentMetrics
from shared.runtime.tasks import TaskOwner
from tests.support.agents import make_loader

SALES, SUPPORT = "+918000000001", "+918000000002"


@dataclass
class Shelf:
    """A folder, its library, and what was told of it."""

    folder: Path
    options: LibraryOptions = field(default_factory=LibraryOptions)
    changes: list[tuple[str, str]] = field(default_factory=list)
    writes: int = 0

    def write(self, name: str, text: str) -> None:
        """Replace a file as editors do; its time is sure to be another."""
        self.writes += 1
        path, new = self.folder / name, self.folder / f".{name}.new"
        new.write_text(text)
        os.utime(new, (self.writes, self.writes))
        new.replace(path)

    def open(self) -> Library:
        library = Library.open(self.folder, make_loader(), self.options)
        library.listen(self._on_change)
        return library

    def _on_change(self, old: Agent | None, new: Agent | None) -> None:
        self.changes.append((old.file.greeting if old else "-", new.file.greeting if new else "-"))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.write("default.yaml", "greeting: default\n")
    return shelf


async def look_twice(library: Library) -> list[str]:
    """Two looks, after which a change is taken over; the faults that were logged."""
    with capture_logs() as logs:
        await library.look()
        await library.look()
    return [log["fault"] for log in logs if log["event"] == "agent_file_refused"]


# --- choosing -----------------------------------------------------------------------------------


def test_an_agent_is_chosen_by_name_then_by_number_then_by_default(shelf: Shelf) -> None:
    shelf.write("sales.yaml", f"greeting: sales\nnumbers: [{SALES}]\n")
    shelf.write("other.yaml", f"name: support\ngreeting: support\nnumbers: [{SUPPORT}]\n")
    library = shelf.open()

    def chosen(asked: str, number: str) -> str:
        return library.choose(asked, number).file.greeting

    assert chosen("sales", SUPPORT) == "sales"
    assert chosen("support", "") == "support"
    assert chosen("", SUPPORT) == "support"
    assert chosen("default", SUPPORT) == "support"
    assert chosen("default", "") == "default"
    assert chosen("", "+918000000099") == "default"
    assert chosen("", SALES.removeprefix("+")) == "sales"  # as Vobiz writes it
    assert chosen("", f"0{SALES.removeprefix('+91')}") == "sales"
    assert [agent.file.name for agent in library.agents] == ["default", "sales", "support"]


def test_a_name_that_is_not_there_is_counted_and_logged_once(shelf: Shelf) -> None:
    asked: list[bool] = []
    shelf.options = LibraryOptions(on_unknown=lambda: asked.append(True))
    library = shelf.open()
    with capture_logs() as logs:
        for name in ("nobody", "nobody", "nothing"):
            assert library.choose(name, "").file.greeting == "default"
    assert [log["agent"] for log in logs] == ["nobody", "nothing"]
    assert len(asked) == 3


def test_calls_that_asked_for_an_agent_that_is_not_there_are_a_figure(shelf: Shelf) -> None:
    registry = CollectorRegistry()
    shelf.options = LibraryOptions(on_unknown=AgentMetrics(registry).unknown_agents.inc)
    library = shelf.open()
    for name in ("nobody", "default", "nobody"):
        library.choose(name, "")
    assert registry.get_sample_value("voice_agent_unknown_agents_total") == 2


def test_another_agent_can_be_the_default(shelf: Shelf) -> None:
    shelf.write("sales.yaml", "greeting: sales\n")
    shelf.options = LibraryOptions(default="sales")
    assert shelf.open().choose("default", "").file.greeting == "sales"


def test_settings_change_what_the_default_agent_says(shelf: Shelf) -> None:
    shelf.write("sales.yaml", "prompt: sell\n")
    shelf.options = LibraryOptions(overrides=Overrides(prompt="be brief"))
    library = shelf.open()
    assert library.default.file.prompt == "be brief"
    assert library.choose("sales", "").file.prompt == "sell"


# --- the first reading --------------------------------------------------------------------------


def test_a_bad_default_agent_stops_the_start_with_every_fault(shelf: Shelf) -> None:
    shelf.write("default.yaml", "greting: x\nlanguage: E N\n")
    shelf.write("sales.yaml", "colour: blue\n")
    with pytest.raises(BadAgent) as raised:
        shelf.open()
    lines = str(raised.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["greting", "language", "colour"]


def test_a_folder_without_a_default_agent_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadAgent, match="there is no agent named 'default' in this folder"):
        Shelf(tmp_path / "nowhere").open()


def test_another_bad_file_is_left_out_and_logged(shelf: Shelf) -> None:
    shelf.write("sales.yaml", "colour: blue\n")
    with capture_logs() as logs:
        library = shelf.open()
    assert [agent.file.name for agent in library.agents] == ["default"]
    assert [log["is_old_kept"] for log in logs] == [False]
    assert "sales.yaml:1: colour: is no field here" in logs[0]["fault"]


def test_two_files_with_one_number_are_both_left_out(shelf: Shelf) -> None:
    for name in ("a", "b", "c"):
        shelf.write(f"{name}.yaml", f"numbers: [{SALES if name != 'c' else SUPPORT}]\n")
    with capture_logs() as logs:
        library = shelf.open()
    assert [agent.file.name for agent in library.agents] == ["c", "default"]
    assert [log["fault"].removeprefix(str(shelf.folder)) for log in logs] == [
        "/a.yaml:1: numbers: is a number that ends in 0001, which b.yaml claims too",
        "/b.yaml:1: numbers: is a number that ends in 0001, which a.yaml claims too",
    ]


def test_hidden_files_and_files_of_another_kind_are_passed_over(shelf: Shelf) -> None:
    shelf.write("notes.txt", "colour: blue\n")
    shelf.write(".sales.yaml", "colour: blue\n")
    (shelf.folder / "folder.yaml").mkdir()
    assert len(shelf.open().agents) == 1


# --- reloading ----------------------------------------------------------------------------------


async def test_a_changed_file_is_taken_over_on_the_second_look(shelf: Shelf) -> None:
    library = shelf.open()
    held = library.default
    shelf.write("default.yaml", "greeting: newer\n")
    await library.look()
    assert library.default is held  # it may be written still
    await library.look()
    assert library.default.file.greeting == "newer"
    assert library.default.version != held.version
    assert held.file.greeting == "default"  # for calls that are going on
    assert shelf.changes == [("default", "newer")]
    await look_twice(library)
    assert len(shelf.changes) == 1


async def test_a_file_that_is_written_on_and_on_is_waited_for(shelf: Shelf) -> None:
    library = shelf.open()
    for number in range(3):
        shelf.write("default.yaml", f"greeting: {'x' * number}\n")
        await library.look()
    assert shelf.changes == []
    await library.look()
    assert shelf.changes == [("default", "xx")]


async def test_a_file_that_is_only_touched_changes_nothing(shelf: Shelf) -> None:
    library = shelf.open()
    shelf.write("default.yaml", "greeting: default\n")
    assert await look_twice(library) == []
    assert shelf.changes == []


async def test_files_come_and_go(shelf: Shelf) -> None:
    library = shelf.open()
    shelf.write("sales.yaml", f"greeting: sales\nnumbers: {SALES}\n")
    await look_twice(library)
    assert library.choose("", SALES).file.greeting == "sales"
    (shelf.folder / "sales.yaml").unlink()
    await look_twice(library)
    assert library.choose("sales", SALES).file.greeting == "default"
    assert shelf.changes == [("-", "sales"), ("sales", "-")]


async def test_a_file_that_becomes_bad_leaves_the_old_one_and_is_logged_once(shelf: Shelf) -> None:
    refused: list[int] = []
    shelf.options = LibraryOptions(on_refused=refused.append)
    library = shelf.open()
    shelf.write("default.yaml", "greeting: newer\nlimits: {retries: 9}\n")
    assert [fault.partition("default.yaml")[2] for fault in await look_twice(library)] == [
        ":2: limits.retries: should be at most 5"
    ]
    assert library.default.file.greeting == "default"
    shelf.write("sales.yaml", "greeting: sales\n")
    assert await look_twice(library) == []  # the same fault again
    assert [agent.file.greeting for agent in library.agents] == ["default", "sales"]
    shelf.write("default.yaml", "greeting: mended\n")
    await look_twice(library)
    assert library.default.file.greeting == "mended"
    assert refused == [1]


async def test_the_default_agent_stays_when_its_file_goes(shelf: Shelf) -> None:
    library = shelf.open()
    shelf.write("sales.yaml", "greeting: sales\n")
    (shelf.folder / "default.yaml").unlink()
    (fault,) = await look_twice(library)
    assert fault.endswith("the agent 'default' is no longer here; the last one stays in use")
    assert library.default.file.greeting == "default"
    shelf.write("first.yaml", "name: default\ngreeting: another\n")
    await look_twice(library)
    assert library.default.file.greeting == "another"
    assert library.choose("sales", "").file.greeting == "sales"


async def test_a_file_that_claims_anothers_name_or_number_is_refused(shelf: Shelf) -> None:
    shelf.write("sales.yaml", f"greeting: sales\nnumbers: {SALES}\n")
    library = shelf.open()
    shelf.write("thief.yaml", f"name: sales\ngreeting: thief\nnumbers: [{SALES}]\n")
    assert [fault.partition("thief.yaml")[2] for fault in await look_twice(library)] == [
        ":1: name: is sales, which sales.yaml claims too"
    ]
    assert library.choose("sales", "").file.greeting == "sales"
    assert library.choose("", SALES).file.greeting == "sales"


async def test_a_change_that_claims_anothers_number_leaves_both_as_they_were(shelf: Shelf) -> None:
    shelf.write("sales.yaml", f"greeting: sales\nnumbers: {SALES}\n")
    shelf.write("support.yaml", f"greeting: support\nnumbers: {SUPPORT}\n")
    library = shelf.open()
    shelf.write("support.yaml", f"greeting: newer\nnumbers: {SALES}\n")
    await look_twice(library)
    assert library.choose("", SALES).file.greeting == "sales"
    assert library.choose("", SUPPORT).file.greeting == "support"


async def test_numbers_can_change_hands_in_one_step(shelf: Shelf) -> None:
    shelf.write("sales.yaml", f"greeting: sales\nnumbers: {SALES}\n")
    shelf.write("support.yaml", f"greeting: support\nnumbers: {SUPPORT}\n")
    library = shelf.open()
    shelf.write("sales.yaml", f"greeting: sales\nnumbers: {SUPPORT}\n")
    shelf.write("support.yaml", f"greeting: support\nnumbers: {SALES}\n")
    assert await look_twice(library) == []
    assert library.choose("", SALES).file.greeting == "support"


async def test_an_agent_follows_the_flow_that_it_names(shelf: Shelf) -> None:
    (shelf.folder / "flows").mkdir()
    flow = shelf.folder / "flows" / "short.yaml"
    flow.write_text("greeting: Hi\nsteps: {a: {prompt: One}}\n")
    shelf.write("default.yaml", "flow: short\n")
    library = shelf.open()
    flow.write_text("greeting: Hi\nsteps: {a: {prompt: Another}}\n")
    await look_twice(library)
    assert library.default.flow is not None
    assert library.default.flow.steps[0].prompt == ("Another",)


async def test_the_links_of_a_mounted_configuration_are_followed(tmp_path: Path) -> None:
    """Kubernetes swaps one link; the files in the folder stay the same links."""
    shelf = Shelf(tmp_path)
    for number in (1, 2):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "default.yaml").write_text(f"greeting: version {number}\n")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "default.yaml").symlink_to("..data/default.yaml")
    library = shelf.open()
    (tmp_path / "..data.new").symlink_to("..2")
    (tmp_path / "..data.new").replace(tmp_path / "..data")
    await look_twice(library)
    assert shelf.changes == [("version 1", "version 2")]


async def test_watching_looks_until_it_is_stopped_and_outlives_a_failing_listener(
    shelf: Shelf,
) -> None:
    library = shelf.open()
    greetings: asyncio.Queue[str] = asyncio.Queue()

    def fail(_old: Agent | None, new: Agent | None) -> None:
        greetings.put_nowait(new.file.greeting if new else "")
        raise ValueError("a listener broke")

    library.listen(fail)
    with capture_logs() as logs:
        async with TaskOwner("library") as owner, asyncio.timeout(5):
            owner.start(library.watch(every_s=0.001), name="watch")
            for greeting in ("newer", "newest"):
                shelf.write("default.yaml", f"greeting: {greeting}\n")
                assert await greetings.get() == greeting
    assert [log["event"] for log in logs].count("agent_listener_failed") == 2
