"""Run the stand-ins by hand; see README.md."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from tests.support.agents import parley_flow
from tests.support.standins.hearing import PhraseEar, ScriptedEar
from tests.support.standins.realtime import RealtimeStandIn, Said
from tests.support.standins.server import StandIns
from tests.support.standins.world import DEEPGRAM_KEY, OPENAI_KEY, World

_ANSWERS = (Said("Hello, this is a stand-in."), Said("I speak in tones."), Said("Go on."))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.standins",
        description="Deepgram and OpenAI on this machine, for the whole vendor path without keys.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5090)
    parser.add_argument("--realtime-port", type=int, default=5091)
    hears = parser.add_mutually_exclusive_group()
    hears.add_argument("--phrases", help="a file with one phrase a line; these are recognised")
    hears.add_argument("--script", help="a file with one text a line: what each utterance says")
    parser.add_argument("--token-ms", type=float, default=20.0, help="pause before each token")
    parser.add_argument("--first-ms", type=float, default=200.0, help="pause before an answer")
    return parser.parse_args()


def _lines(path: str) -> list[str]:
    texts = Path(path).read_text(encoding="utf-8").splitlines()
    return [text.strip() for text in texts if text.strip()]


def _flow_phrases() -> list[str]:
    """What the offline agent understands."""
    flow = parley_flow()
    intents = [intent for step in flow.steps for intent in flow.intents(step)]
    return sorted({phrase for intent in intents for phrase in intent.phrases})


def _world(arguments: argparse.Namespace) -> World:
    world = World()
    if arguments.script:
        world.ear = ScriptedEar(_lines(arguments.script))
    elif arguments.phrases:
        world.ear = PhraseEar(_lines(arguments.phrases), digits=True)
    else:
        world.ear = PhraseEar(_flow_phrases(), digits=True)
    world.talker.token_s = arguments.token_ms / 1000
    world.talker.first_s = arguments.first_ms / 1000
    world.mouth.first_s = arguments.first_ms / 2000
    world.mouth.pace_s = 0.02
    return world


def _realtime(arguments: argparse.Namespace) -> RealtimeStandIn:
    return RealtimeStandIn(_flow_phrases(), _ANSWERS, pace=0.2, port=arguments.realtime_port)


async def _serve(arguments: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with (
        StandIns(_world(arguments), host=arguments.host, port=arguments.port) as standins,
        RealtimeStandIn(
            _flow_phrases(), _ANSWERS, pace=0.2, port=arguments.realtime_port
        ) as speech,
    ):
        print(  # noqa: T201 # a command line tool prints
            f"DEEPGRAM_API_KEY={DEEPGRAM_KEY}\n"
            f"DEEPGRAM_BASE_URL={standins.http_url}\n"
            f"OPENAI_API_KEY={OPENAI_KEY}\n"
            f"OPENAI_BASE_URL={standins.openai_base_url}\n"
            f"# speech to speech, in a file: realtime: {{openai: {{base_url: {speech.url}}}}}",
            flush=True,
        )
        await stopped.wait()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(_serve(_arguments()))
