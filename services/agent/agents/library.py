"""The agents of a folder: chosen for each call, reloaded when their files change.

Files are looked at once a second rather than watched: that works on every kind of mount, sees an
editor's atomic replacement and the swapped links of a mounted ConfigMap, and needs nothing more.
What has changed is read once it has been the same for two looks, so that a file being written is
never read in halves. Calls that are going on keep the agent they began with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import structlog

from services.agent.agents.faults import Fault, Problem
from services.agent.agents.load import Agent, BadAgent, Loader, agent_files, flow_files
from services.agent.agents.overrides import Overrides
from shared.protocol.webhook import normalize_number

_log = structlog.get_logger(__name__)
_LOOK_EVERY_S = 1.0
_MOST_UNKNOWN = 256

OnChange: TypeAlias = Callable[[Agent | None, Agent | None], None]
_Look: TypeAlias = Mapping[Path, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class LibraryOptions:
    """How a library is kept.

    Attributes:
        default: name of the agent for calls that no other is chosen for.
        overrides: what settings change in the files.
        on_refused: told the number of files refused at a reload.
        on_unknown: told when an agent was asked for that is not there.
    """

    default: str = "default"
    overrides: Overrides = field(default_factory=Overrides)
    on_refused: Callable[[int], None] = lambda _: None
    on_unknown: Callable[[], None] = lambda: None


class Library:
    """Agents by name and by called number. Use `open`."""

    def __init__(self, folder: Path, loader: Loader, options: LibraryOptions) -> None:
        self._folder = folder
        self._loader = loader
        self._options = options
        self._by_path: dict[Path, Agent] = {}
        self._by_name: dict[str, Agent] = {}
        self._by_number: dict[str, Agent] = {}
        self._listeners: list[OnChange] = []
        self._unknown: set[str] = set()
        self._refused: dict[Path, str] = {}
        self._seen: _Look = {}
        self._loaded: _Look = {}

    @classmethod
    def open(cls, folder: Path, loader: Loader, options: LibraryOptions | None = None) -> Library:
        """Read a folder for the first time. Blocks on the disk.

        A bad file is logged and left out, but not that of the default agent.

        Raises:
            BadAgent: there is no default agent, or its file is bad; with every fault of all files.
        """
        library = cls(folder, loader, options or LibraryOptions())
        library._seen = library._loaded = _look(folder)
        by_path, faults = library._read({})
        library._put(by_path)
        if library._options.default not in library._by_name:
            if not faults:
                reason = f"there is no agent named {library._options.default!r} in this folder"
                faults = {folder: [Fault(str(folder), 1, Problem((), reason))]}
            raise BadAgent(fault for found in faults.values() for fault in found)
        library._report(faults)
        return library

    @property
    def default(self) -> Agent:
        """The agent for calls that no other is chosen for."""
        return self._by_name[self._options.default]

    @property
    def agents(self) -> tuple[Agent, ...]:
        """All agents, by name."""
        return tuple(self._by_name[name] for name in sorted(self._by_name))

    def listen(self, on_change: OnChange) -> None:
        """Have changes told, as (old, new): None for an agent that is new, or gone."""
        self._listeners.append(on_change)

    def choose(self, asked: str, called_number: str) -> Agent:
        """Return the agent of a call.

        Args:
            asked: by name; empty or `default`: nobody in particular.
            called_number: as the network gave it.
        """
        if asked and asked != "default":
            found = self._by_name.get(asked)
            if found is not None:
                return found
            self._note_unknown(asked)
        return self._by_number.get(normalize_number(called_number)) or self.default

    def _note_unknown(self, name: str) -> None:
        self._options.on_unknown()
        if name not in self._unknown and len(self._unknown) < _MOST_UNKNOWN:
            self._unknown.add(name)
            _log.warning("agent_unknown", agent=name[:64], known=sorted(self._by_name))

    # --- reloading ---------------------------------------------------------------------------

    async def watch(self, *, every_s: float = _LOOK_EVERY_S) -> None:
        """Look for changes until cancelled; for an owned task."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.look()
            except Exception as exc:  # noqa: BLE001 - top of the task: the next look may succeed
                _log.error("agents_reload_failed", exc_info=exc)

    async def look(self) -> None:
        """Look once; take over what has changed and is no longer being written."""
        look = await asyncio.to_thread(_look, self._folder)
        is_settled, self._seen = look == self._seen, look
        if not is_settled or look == self._loaded:
            return
        by_path, faults = await asyncio.to_thread(self._read, dict(self._by_path))
        self._loaded = look
        self._report(faults)
        before = dict(self._by_name)
        self._put(by_path)
        for name in sorted({*before, *self._by_name}):
            old, new = before.get(name), self._by_name.get(name)
            if old is not new:
                self._tell(name, old, new)

    def _tell(self, name: str, old: Agent | None, new: Agent | None) -> None:
        version = new.version if new else None
        event = (
            "agent_removed" if new is None else "agent_added" if old is None else "agent_reloaded"
        )
        _log.info(event, agent=name, version=version)
        self._unknown.discard(name)
        for listener in self._listeners:
            try:
                listener(old, new)
            except Exception as exc:  # noqa: BLE001 - the others must hear of it all the same
                _log.error("agent_listener_failed", agent=name, exc_info=exc)

    def _report(self, faults: Mapping[Path, list[Fault]]) -> None:
        """Log the faults of files that were not refused for the same ones before."""
        texts = {path: "\n".join(map(str, found)) for path, found in faults.items()}
        fresh = {
            path: found for path, found in faults.items() if texts[path] != self._refused.get(path)
        }
        self._refused = texts
        for path, found in fresh.items():
            kept = path in self._by_path
            for fault in found:
                _log.error("agent_file_refused", fault=str(fault), is_old_kept=kept)
        if fresh:
            self._options.on_refused(len(fresh))

    def _read(self, old: Mapping[Path, Agent]) -> tuple[dict[Path, Agent], dict[Path, list[Fault]]]:
        """Read every file; what is bad stays as it was, or away. Same content, same object."""
        read: dict[Path, Agent] = {}
        faults: dict[Path, list[Fault]] = {}
        options = self._options
        for path in agent_files(self._folder):
            try:
                agent = self._loader.load(path).adapted(options.overrides, options.default)
            except BadAgent as exc:
                faults[path] = list(exc.faults)
                if path in old:
                    read[path] = old[path]
                continue
            before = old.get(path)
            is_same = before is not None and before.version == agent.version
            read[path] = before if before is not None and is_same else agent
        self._settle_claims(read, old, faults)
        self._keep_default(read, old, faults)
        return read, faults

    def _settle_claims(
        self, read: dict[Path, Agent], old: Mapping[Path, Agent], faults: dict[Path, list[Fault]]
    ) -> None:
        """Refuse what is new and claims another's name or number, until nothing is claimed twice.

        What is old never clashes with what is old, so this comes to an end.
        """
        while claims := list(_double_claims(read)):
            for problem, paths in claims:
                for path in (p for p in paths if read.get(p) is not old.get(p)):
                    others = ", ".join(p.name for p in paths if p != path)
                    said = Problem(problem.path, f"{problem.reason}, which {others} claims too")
                    faults.setdefault(path, []).append(Fault(str(path), 1, said))
                    if path in old:
                        read[path] = old[path]
                    else:
                        del read[path]

    def _keep_default(
        self, read: dict[Path, Agent], old: Mapping[Path, Agent], faults: dict[Path, list[Fault]]
    ) -> None:
        """The default agent stays when its file goes: every other call would have nobody."""
        name = self._options.default
        if any(agent.file.name == name for agent in read.values()):
            return
        for path, agent in old.items():
            if agent.file.name == name:
                read[path] = agent
                reason = f"the agent {name!r} is no longer here; the last one stays in use"
                faults.setdefault(path, []).append(Fault(str(path), 1, Problem((), reason)))

    def _put(self, by_path: dict[Path, Agent]) -> None:
        self._by_path = by_path
        self._by_name = {agent.file.name: agent for agent in by_path.values()}
        self._by_number = {
            number: agent for agent in by_path.values() for number in agent.file.numbers
        }


def _double_claims(read: Mapping[Path, Agent]) -> Iterable[tuple[Problem, list[Path]]]:
    claims: dict[tuple[str, str], list[Path]] = {}
    for path, agent in read.items():
        claims.setdefault(("name", agent.file.name), []).append(path)
        for number in dict.fromkeys(agent.file.numbers):
            claims.setdefault(("numbers", number), []).append(path)
    for (field_, value), paths in claims.items():
        if len(paths) > 1:
            shown = value if field_ == "name" else f"a number that ends in {value[-4:]}"
            yield Problem((field_,), f"is {shown}"), paths


def _look(folder: Path) -> _Look:
    """What the files are now, links followed; a file that goes meanwhile is not there."""
    found = {}
    for path in (*agent_files(folder), *flow_files(folder)):
        try:
            status = path.stat()
        except OSError:
            continue
        found[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return found
