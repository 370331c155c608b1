"""`parley-agent eval FILE`: scripted conversations with an agent, judged."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TextIO

import yaml
from pydantic import ValidationError

from services.agent.cli.eval_outcome import ScenarioResult
from services.agent.cli.eval_report import junit, summary, turn_lines
from services.agent.cli.eval_run import run_scenarios
from services.agent.cli.eval_scenario import Scenarios
from services.agent.cli.eval_source import AgentAtHand, LoadAgent
from services.agent.providers.errors import ProviderError

_MAX_FILE_BYTES = 1_000_000


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    load: LoadAgent,
    *,
    out: TextIO | None = None,
) -> None:
    """Add the command; its `func(args)` returns 0, 1 when a turn failed, 2 for a bad file."""
    parser = subparsers.add_parser(
        "eval",
        help="run scripted conversations with an agent and judge them",
        description="Runs the conversations of evals/<file's name>.yaml beside the agent's file.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the agent's file")
    parser.add_argument("--scenario", type=Path, metavar="PATH", help="another file of scenarios")
    parser.add_argument("--only", metavar="NAME", help="run the conversation of this name alone")
    parser.add_argument(
        "--junit", type=Path, metavar="PATH", help="write JUnit's XML there as well"
    )
    parser.add_argument("--live", action="store_true", help="use the tools as they are")
    parser.set_defaults(func=lambda args: _main(args, load, out if out is not None else sys.stdout))


def _main(args: argparse.Namespace, load: LoadAgent, out: TextIO) -> int:
    path = args.scenario or args.file.parent / "evals" / f"{args.file.stem}.yaml"
    try:
        agent = load(args.file)
        scenarios = load_scenarios(path)
        results = asyncio.run(_run(args, agent, scenarios, out))
    except (OSError, ValueError, ProviderError) as exc:
        out.write(f"{exc}\n")
        return 2
    if not results:
        out.write(f"{path}: there is no conversation {args.only!r}\n")
        return 2
    out.write(f"{summary(results)}\n")
    if args.junit is not None:
        args.junit.write_text(junit(agent.file.name, results), encoding="utf-8")
    return 0 if all(result.is_passed for result in results) else 1


async def _run(
    args: argparse.Namespace,
    agent: AgentAtHand,
    scenarios: Scenarios,
    out: TextIO,
) -> list[ScenarioResult]:
    results = []
    async for result in run_scenarios(agent, scenarios, is_live=args.live, only=args.only):
        results.append(result)
        out.writelines(f"{line}\n" for line in turn_lines(result))
    return results


def load_scenarios(path: Path) -> Scenarios:
    """Read a file of scenarios.

    Raises:
        ValueError: it is not one; the text says which field and why.
        OSError: it cannot be read.
    """
    with path.open("rb") as opened:
        raw = opened.read(_MAX_FILE_BYTES + 1)
    if len(raw) > _MAX_FILE_BYTES:
        raise ValueError(f"{path}: larger than {_MAX_FILE_BYTES} bytes")
    try:
        return Scenarios.model_validate(yaml.safe_load(raw))
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path}: {where}: {first['msg']}") from None
    except yaml.YAMLError as exc:
        raise ValueError(f"{path}: not YAML: {exc}") from None
