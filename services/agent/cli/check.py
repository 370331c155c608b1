"""`parley-agent check FILE...`: say what is wrong with agents' files, one line a fault.

A folder stands for the agents in it. Exit status 0: every file can be used; 1: one can't.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from services.agent.agents.load import Agent, BadAgent, Loader, agent_files
from services.agent.providers.catalogue import make_registry
from shared.runtime.secrets import EnvironmentSecrets


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this command."""
    parser = subparsers.add_parser(
        "check",
        help="say what is wrong with agents' files",
        description="Say what is wrong with agents' files, one line a fault.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a file, or a folder")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    """Check every file."""
    loader = Loader(make_registry(), EnvironmentSecrets.read())
    status = 0
    for path in _files(args.files):
        try:
            agent = loader.load(path)
        except BadAgent as exc:
            sys.stdout.write(f"{exc}\n")
            status = 1
        else:
            for warning in agent.warnings:
                sys.stdout.write(f"{warning} (warning)\n")
            sys.stdout.write(f"{summary(agent)}\n")
    return status


def summary(agent: Agent) -> str:
    """Return one line about an agent that can be used."""
    file = agent.file
    languages = ", ".join((file.language, *file.languages))
    parts = [languages]
    for kind in ("stt", "llm", "tts"):
        names = ", ".join(choice.name for choice in getattr(file.providers, kind))
        parts.append(f"{kind} {names}")
    if file.providers.realtime is not None:
        parts.append(f"realtime {file.providers.realtime.name}")
    if agent.flow is not None:
        parts.append(f"flow {agent.flow.name}")
    if file.tools:
        parts.append(f"{len(file.tools)} tools" if len(file.tools) > 1 else "1 tool")
    return f"{agent.path}: fine ({'; '.join(parts)})"


def _files(given: Iterable[Path]) -> Iterable[Path]:
    for path in given:
        if path.is_dir():
            found = agent_files(path)
            yield from found or [path / "default.yaml"]
        else:
            yield path
