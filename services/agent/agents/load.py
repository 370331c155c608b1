"""Reads agents' files from disk: a whole agent, or every fault of it, one line each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from services.agent.agents.checks import find_problems, find_warnings
from services.agent.agents.document import (
    MOST_BYTES,
    Document,
    UnreadableDocument,
    read_document,
)
from services.agent.agents.faults import Fault, Problem, did_you_mean
from services.agent.agents.file import AgentFile
from services.agent.agents.flow_file import read_flow
from services.agent.agents.overrides import Overrides
from services.agent.agents.plain_words import problems_of
from services.agent.providers.offline.flow import Flow
from services.agent.providers.registry import Registry, Secrets

FLOWS = "flows"
_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent ready to be used.

    Attributes:
        file: what its owner wrote.
        flow: its offline dialogue, if it has one.
        version: changes with the file, its flow and the settings that change it; 12 hex digits.
        path: the file.
        warnings: what the owner should know.
    """

    file: AgentFile
    flow: Flow | None
    version: str
    path: Path
    warnings: tuple[Fault, ...] = ()

    def adapted(self, overrides: Overrides, default: str) -> Agent:
        """Return the agent as settings change it; `default` is the name of the default one."""
        is_default = self.file.name == default
        return replace(self, file=overrides.apply(self.file, is_default=is_default))


class BadAgent(ValueError):
    """A file can't be used; every fault is listed, `str()` has one a line."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: (fault.file, fault.line)))
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


@dataclass(frozen=True, slots=True)
class Loader:
    """Loads agents; `registry` knows the providers, `secrets` which keys are set."""

    registry: Registry
    secrets: Secrets

    def load(self, path: Path) -> Agent:
        """Read one file, and the flow it names from the folder `flows/` beside it.

        Blocks on the disk; some 10 ms of work for a file of usual size.

        Raises:
            BadAgent: it can't be read, or something is wrong with it.
        """
        raw, document = _read(path)
        if not isinstance(document.data, dict):
            raise BadAgent(
                [_fault(path, document, Problem((), "should hold fields: `greeting: ...`"))]
            )
        faults = [Fault(str(path), line, problem) for line, problem in document.problems]
        data = {"name": path.stem, **document.data}
        try:
            file = AgentFile.model_validate(data)
        except ValidationError as exc:
            problems = problems_of(exc, AgentFile)
            raise BadAgent([*faults, *(_fault(path, document, p) for p in problems)]) from None
        faults += [_fault(path, document, p) for p in find_problems(file, self.registry)]
        flow, flow_raw, flow_faults = _flow(path, document, file)
        faults += flow_faults
        if faults:
            raise BadAgent(faults)
        return Agent(
            file=file,
            flow=flow,
            version=hashlib.sha256(raw + b"\0" + flow_raw).hexdigest()[:12],
            path=path,
            warnings=tuple(
                _fault(path, document, warning)
                for warning in find_warnings(file, flow, self.secrets, self.registry)
            ),
        )


def load_flow(path: Path) -> Flow:
    """Read a flow's own file.

    Raises:
        BadAgent: it can't be read, or something is wrong with it.
    """
    _, document = _read(path)
    flow, problems = read_flow(document.data, default_name=path.stem)
    faults = [Fault(str(path), line, problem) for line, problem in document.problems]
    faults += [_fault(path, document, problem) for problem in problems]
    if flow is None or faults:
        raise BadAgent(faults)
    return flow


def agent_files(folder: Path) -> list[Path]:
    """Return the agents' files of a folder, by name; hidden ones are passed over."""
    return _yaml_files(folder)


def flow_files(folder: Path) -> list[Path]:
    """Return the flows' files that belong to a folder of agents, by name."""
    return _yaml_files(folder / FLOWS)


def _yaml_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix in _ENDINGS and not path.name.startswith(".") and path.is_file()
    )


def _read(path: Path) -> tuple[bytes, Document]:
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        return raw, read_document(raw)
    except UnreadableDocument as exc:
        raise BadAgent([Fault(str(path), exc.line, Problem((), exc.reason))]) from None
    except OSError as exc:
        reason = f"can't be read: {exc.strerror or exc}"
        raise BadAgent([Fault(str(path), 1, Problem((), reason))]) from None


def _flow(
    path: Path, document: Document, file: AgentFile
) -> tuple[Flow | None, bytes, list[Fault]]:
    """The flow of an agent with the bytes of its own file, or its faults."""
    match file.flow:
        case None:
            return None, b"", []
        case str(name):
            return _named_flow(path, document, file, name)
        case data:
            flow, problems = read_flow(
                data, default_name=file.name, greeting=file.greeting, transfer=file.transfer
            )
            return flow, b"", [_fault(path, document, p.under(("flow",))) for p in problems]


def _named_flow(
    path: Path, document: Document, file: AgentFile, name: str
) -> tuple[Flow | None, bytes, list[Fault]]:
    known = {found.stem: found for found in flow_files(path.parent)}
    if name not in known:
        reason = f"there is no {FLOWS}/{name}.yaml beside this file{did_you_mean(name, known)}"
        return None, b"", [_fault(path, document, Problem(("flow",), reason))]
    try:
        raw, flow_document = _read(known[name])
    except BadAgent as exc:
        return None, b"", list(exc.faults)
    flow, problems = read_flow(
        flow_document.data, default_name=name, greeting=file.greeting, transfer=file.transfer
    )
    faults = [Fault(str(known[name]), line, p) for line, p in flow_document.problems]
    faults += [_fault(known[name], flow_document, problem) for problem in problems]
    return flow, raw, faults


def _fault(path: Path, document: Document, problem: Problem) -> Fault:
    return Fault(str(path), document.line(problem.path), problem)
