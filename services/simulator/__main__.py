"""`python -m services.simulator call | load | serve`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import uvloop

from services.simulator.commands import run_call, run_load, run_serve
from services.simulator.options import add_caller_options, add_cloud_options
from services.simulator.person.script import BadScript
from services.simulator.settings import SimulatorSettings
from shared.runtime.logs import configure_logging
from shared.runtime.settings import load_settings
from shared.speech import SpeechError

_EXAMPLES = """examples:
  python -m services.simulator call --say "What can you do?"
  python -m services.simulator call --wav question.wav --say "goodbye" --barge-in-at turn,1.5
  python -m services.simulator call --hangup-after 60 --line-noise-dbfs -50 --echo-db -25
  python -m services.simulator load --calls 12 --over 3 --say "Tell me about yourself"
  python -m services.simulator serve
"""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; ends the process with a message when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m services.simulator",
        description="Plays the Vobiz cloud: people who call, people who are called, bad lines.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    call = commands.add_parser("call", help="place one inbound call into an application")
    load = commands.add_parser("load", help="place many inbound calls at once")
    serve = commands.add_parser("serve", help="offer the REST API, for outbound calls")
    for parser_of_calls in (call, load):
        add_caller_options(parser_of_calls)
        add_cloud_options(parser_of_calls)
        output = parser_of_calls.add_argument_group("what is written")
        output.add_argument("--out", type=Path, metavar="DIR", help="default .parley/calls/<id>")
        output.add_argument("--json", action="store_true", help="print the report as JSON")
        output.add_argument("--no-picture", action="store_true")
    load.add_argument("--calls", type=int, required=True, metavar="N", help="how many")
    load.add_argument(
        "--over", type=float, default=0.0, metavar="S", help="begin them over so many seconds"
    )
    load.add_argument(
        "--keep", choices=["none", "failed", "all"], default="none", help="keep calls' own files"
    )
    serve.add_argument("--host", help="instead of SIMULATOR_HOST")
    serve.add_argument("--port", type=int, help="instead of SIMULATOR_PORT")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the process's exit status."""
    options = parse_arguments(arguments)
    settings = load_settings(SimulatorSettings)
    is_quiet = options.command != "serve"
    level = "WARNING" if is_quiet and settings.log_level == "INFO" else settings.log_level
    configure_logging("simulator", level=level, log_format=settings.log_format)
    runners = {"call": run_call, "load": run_load, "serve": run_serve}
    try:
        return uvloop.run(runners[options.command](options, settings))
    except (BadScript, SpeechError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
