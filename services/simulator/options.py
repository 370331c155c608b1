"""The command line: what can be asked for of the person, the line and the cloud."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from services.simulator.calls.knobs import (
    WIRE_SHAPES,
    HangupKnob,
    Knobs,
    NumberKnob,
    SignatureKnob,
)
from services.simulator.person.caller import CallerScript, KeyPresses
from services.simulator.person.script import Press, SayText, SayWav, checked_keys

DEFAULT_GATEWAY = "http://127.0.0.1:5000"
DEFAULT_FROM, DEFAULT_TO = "+918000000001", "+918000000002"
IN_TURN, FOR_ALL = "turn", "*"


class _Ordered(argparse.Action):
    """Appends to one list, so that --say, --wav and --press keep their order."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        kinds: dict[str, Any] = {"--say": SayText, "--wav": SayWav, "--press": Press}
        made = kinds[option_string or ""](values)
        namespace.turns = [*namespace.turns, made]


def _barge_ins(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if part != IN_TURN:
            float(part.removesuffix(FOR_ALL))
    return parts


def _timed_keys(text: str) -> KeyPresses:
    digits, _, seconds = text.partition("@")
    try:
        return KeyPresses(checked_keys(digits), at_s=float(seconds))
    except Exception as exc:
        raise argparse.ArgumentTypeError("give it as DIGITS@SECONDS, e.g. 42#@6.5") from exc


def add_caller_options(parser: argparse.ArgumentParser) -> None:
    """Add what the person does and what the line is like."""
    person = parser.add_argument_group("the person")
    person.add_argument(
        "--say",
        action=_Ordered,
        metavar="TEXT",
        dest="turns",
        default=[],
        help="say a text with the offline voice; repeatable, in order with --wav and --press",
    )
    person.add_argument(
        "--wav",
        action=_Ordered,
        type=Path,
        metavar="FILE",
        dest="turns",
        help="say a recording of any rate; repeatable",
    )
    person.add_argument(
        "--press",
        action=_Ordered,
        metavar="DIGITS",
        dest="turns",
        help="press keys when it is the person's turn; repeatable",
    )
    person.add_argument(
        "--dtmf",
        type=_timed_keys,
        metavar="DIGITS@SECONDS",
        action="append",
        default=[],
        help="press keys so many seconds after the answer; repeatable",
    )
    person.add_argument(
        "--barge-in-at",
        type=_barge_ins,
        metavar="S[,S...]",
        action="append",
        default=[],
        help="talk over the agent S seconds after it began to speak: one value for each thing "
        f"said, in order ({IN_TURN!r} waits for the agent, 1.5{FOR_ALL} holds for all after it)",
    )
    limits = CallerScript()
    person.add_argument("--hangup-after", type=float, metavar="S", help="hang up then, not before")
    person.add_argument(
        "--max-duration",
        type=float,
        metavar="S",
        default=limits.max_duration_s,
        help="hang up then at the latest (%(default)g)",
    )
    person.add_argument(
        "--patience",
        type=float,
        metavar="S",
        default=limits.patience_s,
        help="go on without an answer after this (%(default)g)",
    )
    person.add_argument(
        "--turn-silence",
        type=float,
        metavar="S",
        default=limits.turn_silence_s,
        help="the agent has finished after so much silence (%(default)g)",
    )
    person.add_argument(
        "--linger",
        type=float,
        metavar="S",
        default=limits.linger_s,
        help="hang up after so much silence behind the last reply (%(default)g)",
    )
    person.add_argument(
        "--level-dbfs", type=float, metavar="DB", help="bring all that is said to this level"
    )
    line = parser.add_argument_group("the line")
    line.add_argument("--line-noise-dbfs", type=float, metavar="DB", help="white noise, e.g. -50")
    line.add_argument(
        "--echo-db", type=float, metavar="DB", help="echo of the agent at the caller, e.g. -25"
    )
    line.add_argument(
        "--echo-delay", type=float, metavar="S", default=0.12, help="its delay (%(default)g)"
    )
    line.add_argument(
        "--line-jitter",
        type=float,
        metavar="S",
        default=0.0,
        help="frames come in bursts of up to so long, e.g. 0.3",
    )


def add_cloud_options(parser: argparse.ArgumentParser) -> None:
    """Add where the application is and how the cloud behaves."""
    target = parser.add_argument_group("the application")
    target.add_argument(
        "--gateway",
        default=DEFAULT_GATEWAY,
        metavar="URL",
        help="answer URL is URL/answer, and so on (%(default)s)",
    )
    target.add_argument("--answer-url", metavar="URL", help="instead of the gateway's")
    target.add_argument(
        "--hangup-url",
        metavar="URL",
        help="instead of the gateway's; with --answer-url alone the hang-up goes there too",
    )
    target.add_argument("--fallback-url", metavar="URL", help="asked for XML when the answer fails")
    target.add_argument("--from", dest="from_number", default=DEFAULT_FROM, metavar="NUMBER")
    target.add_argument("--to", dest="to_number", default=DEFAULT_TO, metavar="NUMBER")
    target.add_argument(
        "--platform",
        metavar="URL",
        help="where GET /calls/{id} tells the transcript (the gateway); 'none' does not ask",
    )
    target.add_argument("--auth-id", metavar="ID", help="instead of VOBIZ_AUTH_ID")
    target.add_argument("--auth-token", metavar="TOKEN", help="instead of VOBIZ_AUTH_TOKEN")
    cloud = parser.add_argument_group("the cloud's variants")
    cloud.add_argument(
        "--signature",
        choices=[knob.value for knob in SignatureKnob],
        default=SignatureKnob.VALID.value,
        help="of the webhooks (%(default)s)",
    )
    cloud.add_argument(
        "--unsigned", action="store_const", const="none", dest="signature", help="no signatures"
    )
    cloud.add_argument("--shape", choices=sorted(WIRE_SHAPES), default="current")
    cloud.add_argument("--numbers", choices=[knob.value for knob in NumberKnob], default="digits")
    cloud.add_argument("--reconnect", choices=["A", "B"], default="A", help="with start, without")
    cloud.add_argument(
        "--drop-socket-at",
        type=float,
        metavar="S",
        action="append",
        default=[],
        help="lose the media socket then, and reconnect; repeatable",
    )
    cloud.add_argument(
        "--hangup-as",
        choices=[knob.value for knob in HangupKnob],
        default=HangupKnob.CLOSE_1000.value,
        help="what the socket sees when the person hangs up (%(default)s)",
    )
    cloud.add_argument("--media-before-start", type=int, metavar="N", default=0)
    cloud.add_argument("--garbage", type=int, metavar="N", default=0, help="send broken messages")
    cloud.add_argument("--duplicate-webhooks", action="store_true")
    cloud.add_argument("--no-dtmf-events", action="store_true")
    cloud.add_argument("--comfort-noise-gaps", action="store_true")
    cloud.add_argument(
        "--hangup-delay",
        type=float,
        metavar="S",
        default=Knobs().hangup_delay_s,
        help="from the end of media to the hang-up webhook (%(default)g)",
    )
    cloud.add_argument("--seed", type=int, default=1, help="of all chance (%(default)s)")
