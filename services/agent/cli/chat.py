"""`parley-agent chat FILE`: talk to an agent in the terminal, by text."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from services.agent.cli.eval_call import TextCall
from services.agent.cli.eval_outcome import Outcome
from services.agent.cli.eval_source import AgentAtHand, LoadAgent
from services.agent.providers.base import (
    CallFacts,
    EndCall,
    GatherDigits,
    Piece,
    Say,
    SendDigits,
    SwitchLanguage,
    ToolUsed,
    Transfer,
)
from services.agent.providers.errors import ProviderError
from shared.protocol.call import CallId, Direction

_HELP = "Say something; /42# presses keys, an empty line is silence, Ctrl-D hangs up.\n"


def add_parser(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    load: LoadAgent,
    *,
    lines: Iterable[str] | None = None,
    out: TextIO | None = None,
) -> None:
    """Add the command; its `func(args)` returns 0, 1 when the brain failed, 2 for a bad file.

    `lines` and `out` are the terminal's own unless they are given.
    """
    parser = subparsers.add_parser(
        "chat",
        help="talk to an agent in the terminal, by text",
        description="Talks to an agent through its real brain and its real tools.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the agent's file")
    parser.add_argument(
        "--say", nargs="+", default=[], metavar="TEXT", help="say these in turn, then hang up"
    )
    parser.add_argument("--from", dest="from_number", default="+918000000001", metavar="NUMBER")
    parser.add_argument("--to", dest="to_number", default="+918000000002", metavar="NUMBER")
    parser.add_argument(
        "--metadata", nargs="+", default=[], metavar="NAME=VALUE", help="the call's metadata"
    )
    parser.add_argument(
        "--variables", nargs="+", default=[], metavar="NAME=VALUE", help="the call's variables"
    )

    def run(args: argparse.Namespace) -> int:
        return _main(
            args,
            load,
            lines if lines is not None else sys.stdin,
            out if out is not None else sys.stdout,
        )

    parser.set_defaults(func=run)


def _main(args: argparse.Namespace, load: LoadAgent, lines: Iterable[str], out: TextIO) -> int:
    try:
        agent = load(args.file)
        return asyncio.run(_talk(args, agent, lines, out))
    except (OSError, ValueError, ProviderError) as exc:
        out.write(f"{exc}\n")
        return 2
    except KeyboardInterrupt:
        return 0


def _pairs(texts: Iterable[str]) -> dict[str, str]:
    return dict(text.split("=", 1) for text in texts if "=" in text)


async def _talk(
    args: argparse.Namespace,
    agent: AgentAtHand,
    lines: Iterable[str],
    out: TextIO,
) -> int:
    metadata, variables = _pairs(args.metadata), _pairs(args.variables)
    facts = CallFacts(
        CallId("chat"),
        agent.file.name,
        Direction.INBOUND,
        args.from_number,
        args.to_number,
        metadata,
        agent.file.language,
        variables,
    )
    tools = agent.open_tools()
    try:
        async with agent.open_brain(tools) as brain:
            call = TextCall(
                brain.open(facts, {}),
                facts,
                now_s=time.monotonic,
                on_piece=lambda piece: _show(piece, out),
            )
            try:
                if not args.say:
                    out.write(_HELP)
                return await _turns(call, args.say, lines, out)
            finally:
                await call.aclose()
    finally:
        await tools.aclose()


async def _turns(call: TextCall, says: list[str], lines: Iterable[str], out: TextIO) -> int:
    outcome = await call.greet()
    given = iter(says or lines)
    while not outcome.is_over and outcome.error is None:
        if not says:
            out.write("> ")
            out.flush()
        # A person's line is waited for without bound: there is nothing else to do.
        line = await asyncio.to_thread(next, given, None)
        if line is None:
            out.write("(you hung up)\n")
            return 0
        if says:
            out.write(f"> {line}\n")
        outcome = await _turn(call, line.strip())
        _show_times(outcome, out)
    if outcome.error is not None:
        out.write(f"(failed: {outcome.error})\n")
        return 1
    return 0


async def _turn(call: TextCall, line: str) -> Outcome:
    if not line:
        return await call.silence()
    keys = line.removeprefix("/")
    if line.startswith("/") and keys and not keys.strip("0123456789*#"):
        return await call.press(keys)
    return await call.say(line)


def _show(piece: Piece, out: TextIO) -> None:
    match piece:
        case Say():
            out.write(f"{piece.text}\n")
        case ToolUsed():
            arguments = ", ".join(f"{name}={value!r}" for name, value in piece.arguments.items())
            out.write(f"  [{piece.name}({arguments}): {piece.outcome}, {piece.seconds:.1f} s]\n")
            out.write(f"  [{piece.result}]\n")
        case EndCall():
            out.write(f"(the agent hung up: {piece.reason})\n")
        case Transfer():
            out.write(f"(transferred to {piece.to})\n")
        case SendDigits():
            out.write(f"(the agent presses {piece.digits})\n")
        case GatherDigits():
            out.write(f"{piece.prompt}\n(waits for keys: /...)\n")
        case SwitchLanguage():
            out.write(f"(language: {piece.language})\n")
        case _:
            return
    out.flush()


def _show_times(outcome: Outcome, out: TextIO) -> None:
    if outcome.first_ms is not None:
        out.write(f"  [{outcome.first_ms:.0f} ms to the first words]\n")
