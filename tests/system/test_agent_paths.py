"""Agents' files at work on whole calls: gateway, worker, simulated Vobiz with its REST API, Redis.

The platform runs as processes that know the default agent alone; all other agents are written into
their folder while it runs. Every call is then played, and judged afterwards.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from deploy.bench.rig.local_platform import bench_platform
from services.agent.after_call.post_call import sign_body
from services.simulator.calls.cloud import Cloud
from services.simulator.person.caller import CallerScript
from services.simulator.person.script import Press
from shared.speech import open_voice
from tests.support.agents import FOLDER
from tests.support.path_agents import (
    APOLOGY,
    LEGAL,
    MESSAGE,
    NOT_TOLD,
    SILENCE,
    TIME_LIMIT,
    TRANSFER_FAILED,
    make_agents,
    number,
    shop,
)
from tests.support.path_stage import Heard, Platform, Scene, play, play_by_rest
from tests.support.receiver import Received, Receiver, running_receiver
from tests.support.standins import CallTool, ScriptedEar, StandIns, World
from tests.support.tool_server import ToolServer, answer

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

SECRET = "a secret of these tests"
ASKED = "please key in your account number"
MACHINE = "you have reached the voicemail of asha please leave a message after the tone"
KEYED, SPOKEN = "8000000077", "eight zero zero"


@dataclass
class Played:
    """All calls by name, and what was posted after them."""

    platform: Platform
    heard: dict[str, Heard] = field(default_factory=dict)
    posted: list[Received] = field(default_factory=list)

    def __getitem__(self, name: str) -> Heard:
        return self.heard[name]

    def bodies(self, name: str) -> list[dict[str, Any]]:
        call_id = self[name].record["call_id"]
        found = [json.loads(one.body) for one in self.posted]
        return [body for body in found if body["call_id"] == call_id]


# --- the stage ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("paths")
    agents = folder / "agents"
    (agents / "flows").mkdir(parents=True)
    for name in ("default.yaml", "flows/parley.yaml"):
        (agents / name).write_text((FOLDER / name).read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENT_FILES", str(agents))
        patch.setenv("AGENT_STT_PROCESSES", "2")
        patch.setenv("LOG_FORMAT", "json")
        patch.setenv("PATHS_HOOK_SECRET", SECRET)
        for name in ("OPENAI_API_KEY", "DEEPGRAM_API_KEY"):
            patch.delenv(name, raising=False)
        with bench_platform(str(folder)) as ports:
            yield Platform(ports, folder, agents)


def bank_standins(*heard: str) -> StandIns:
    """A recogniser that hears what these callers say, and a model that knows what to answer."""
    world = World(lets_anyone_in=True)
    world.ear = ScriptedEar(heard)
    world.talker.rules = [
        (r"balance", CallTool("balance")),
        (r"account", CallTool("gather_digits", json.dumps({"prompt": ASKED, "most": 8}))),
        (r"\(keypad\) 4 2", "Thank you, I have four two. Is there anything else?"),
        (r"press one", CallTool("send_dtmf", '{"digits": "12#"}')),
        (r"goodbye", CallTool("hang_up", text="Goodbye from the bank.")),
    ]
    return StandIns(world)


@asynccontextmanager
async def staged(platform: Platform) -> AsyncIterator[Receiver]:
    """Start what agents talk to and write their files; yields where ends of calls are posted."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        receiver = await enter(running_receiver())
        tools = await enter(ToolServer([answer(b'{"balance": "twelve hundred rupees exactly"}')]))
        banks = {
            107: await enter(bank_standins("what is my balance", "take my account", "goodbye")),
            108: await enter(bank_standins("take my account")),
            109: await enter(bank_standins("press one please")),
        }
        machine = World(lets_anyone_in=True)
        machine.ear = ScriptedEar(otherwise=MACHINE)
        ears = await enter(StandIns(machine))
        agents = make_agents(
            banks={last: standins.http_url for last, standins in banks.items()},
            hook=receiver.url,
            machine_ears=ears.http_url,
            tools=f"http://127.0.0.1:{tools.port}",
        )
        for name, text in agents.items():
            platform.write(name, text)
        await asyncio.gather(*(platform.until_ready(name) for name in agents))
        yield receiver


# --- playing --------------------------------------------------------------------------------------

BYE = "Goodbye and thank you."
QUICK = CallerScript(hangup_at_s=3.0, max_duration_s=10.0)
ONCE = CallerScript(max_duration_s=40.0, linger_s=6.0)
SCENES = {
    "busy by stop": Scene(
        number(101),
        ["I want to buy something.", "When are you open?", BYE],
        limits=replace(ONCE, turn_silence_s=4.0, linger_s=10.0),
    ),
    "put through by stop": Scene(number(101), ["Talk to a human please."], limits=ONCE),
    "keys": Scene(
        number(107),
        ["What is my balance?", "Take my account.", Press("42#"), "Goodbye."],
        barge_ins=(None, 1.5, None),
        limits=ONCE,
    ),
    "quiet": Scene(number(102), ["What do you sell?", Press("4"), BYE], limits=ONCE),
    "redacted": Scene(number(103), [Press(f"{KEYED}#"), "That is right goodbye."], limits=ONCE),
    "machine hung up on": Scene(
        agent="hangs_up",
        turns=["Hello, you have reached Asha. I am not here at this time. Please call again."],
        limits=CallerScript(hangup_at_s=25.0, max_duration_s=30.0),
        is_outbound=True,
        is_machine=True,
    ),
    "message left": Scene(
        agent="leaves",
        turns=["Hello, you have reached Asha. I am not here at this time. Please call again."],
        limits=CallerScript(hangup_at_s=30.0, max_duration_s=35.0, patience_s=0.3),
        is_outbound=True,
        is_machine=True,
        headers={"X-PH-name": "Asha"},
    ),
    "machine by its words": Scene(
        agent="listens",
        turns=[MACHINE],
        limits=CallerScript(hangup_at_s=30.0, max_duration_s=35.0, patience_s=0.3),
        is_outbound=True,
    ),
    "given up": Scene(number(120), ["Hello, is anybody there?"], limits=ONCE),
    "put through by failure": Scene(number(121), ["Hello, is anybody there?"], limits=ONCE),
    "silence": Scene(number(104), limits=CallerScript(hangup_at_s=30.0, max_duration_s=35.0)),
    "time limit": Scene(number(105), limits=CallerScript(hangup_at_s=25.0, max_duration_s=30.0)),
    "legal": Scene(
        number(106),
        ["Who are you please?"],
        barge_ins=(1.0,),
        limits=CallerScript(max_duration_s=25.0, linger_s=3.0),
    ),
    "by number": Scene(number(102), limits=QUICK),
    "by name": Scene(number(102), agent="desk", limits=QUICK),
    "by a name that is not there": Scene(number(102), agent="nobody", limits=QUICK),
    "by nothing": Scene(limits=QUICK),
}

AT_ONCE = 9
"""Calls at a time, besides those of the file that is edited: for machines with two cores."""
POSTED = (
    *("keys", "keys by rest", "pressed", "quiet", "redacted"),
    *("by number", "by a name that is not there"),
)
"""Calls of agents whose file says where their end is to be posted."""


async def play_edits(platform: Platform, cloud: Cloud) -> dict[str, Heard]:
    """Edit a file during a call, then break it."""
    called = number(110)
    scene = Scene(called, ["Who are you please?", BYE], limits=replace(ONCE, turn_silence_s=6.0))
    before = asyncio.ensure_future(play(platform, cloud, scene))
    await asyncio.sleep(1.5)
    platform.write("shop", shop("two"))
    await platform.until_ready("shop", 2)
    after = asyncio.ensure_future(play(platform, cloud, Scene(called, limits=QUICK)))
    platform.write("shop", shop("three", is_broken=True))
    await platform.until_logged(lambda line: line["event"] == "agent_file_refused")
    broken = await play(platform, cloud, Scene(called, limits=QUICK))
    return {"before": await before, "after": await after, "broken": broken}


async def play_all(platform: Platform) -> Played:
    played = Played(platform)
    async with staged(platform) as receiver, Cloud() as cloud:
        names = list(SCENES)
        gate = asyncio.Semaphore(AT_ONCE)

        async def in_turn(playing: Coroutine[Any, Any, Heard]) -> Heard:
            async with gate:
                return await playing

        edits = asyncio.ensure_future(play_edits(platform, cloud))
        rest = (
            play_by_rest(platform, number(101), {"say": ["Talk to a human please."]}),
            play_by_rest(
                platform,
                number(101),
                {
                    "say": ["I want to buy something."],
                    "press": "9",
                    "press_at_s": 16.0,
                    "hangup_after_s": 30.0,
                },
            ),
            play_by_rest(platform, number(108), {"say": ["Take my account."], "press": "42#"}),
            play_by_rest(platform, number(109), {"say": ["Press one please."]}),
        )
        here = (play(platform, cloud, SCENES[name]) for name in names)
        found = await asyncio.gather(*map(in_turn, (*rest, *here)))
        names = ["put through by rest", "busy by rest", "keys by rest", "pressed", *names]
        played.heard = {**dict(zip(names, found, strict=True)), **(await edits)}
        await receiver.wait_for(len(POSTED), limit_s=15)
        await asyncio.sleep(1.0)  # nothing may come twice
        played.posted = list(receiver.got)
    return played


@pytest.fixture(scope="module")
def played(platform: Platform) -> Played:
    return asyncio.run(play_all(platform))


# --- what came of it ------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["stop", "rest"])
def test_a_caller_who_wants_a_person_hears_so_and_is_put_through(played: Played, way: str) -> None:
    heard = played[f"put through by {way}"]
    assert heard.said("caller") == ["talk to a human please"]
    assert heard.said("agent") == ["Hello, this is the desk.", "One moment. I will connect you."]
    assert not any(e["is_interrupted"] for e in heard.record["transcript"] if e["who"] == "agent")
    assert "Dial" in heard.verbs
    assert heard.ends == ("success", "transferred")


@pytest.mark.parametrize("way", ["stop", "rest"])
def test_a_caller_whom_nobody_takes_is_back_in_the_same_conversation(
    played: Played, way: str
) -> None:
    heard = played[f"busy by {way}"]
    answer = ["We are open from nine to five."] if way == "stop" else []
    assert heard.said("agent") == [
        "Hello, this is the desk.",
        "I will connect you to sales.",
        TRANSFER_FAILED,
        *answer,
        "Goodbye from the desk.",
    ]
    assert heard.verbs.count("Stream") == 2
    assert heard.ends == ("success", "agent_hung_up")


def test_keys_are_gathered_and_reach_the_dialogue(played: Played) -> None:
    heard = played["keys"]
    assert "Gather" in heard.verbs
    assert heard.said("agent")[-2:] == [
        "Thank you, I have four two. Is there anything else?",
        "Goodbye from the bank.",
    ]
    assert heard.ends == ("success", "agent_hung_up")


def test_keys_are_gathered_by_rest(played: Played) -> None:
    heard = played["keys by rest"]
    assert "Gather" in heard.verbs
    assert "Thank you, I have four two. Is there anything else?" in heard.said("agent")


def test_keys_are_pressed_for_the_agent(played: Played) -> None:
    heard = played["pressed"]
    pressed = [event for event in heard.report["events"] if event["event"] == "dtmf"]
    assert [event["digits"] for event in pressed] == ["12#"]
    keys = [entry for entry in heard.record["transcript"] if entry.get("kind") == "keys"]
    assert [(entry["who"], entry["text"]) for entry in keys] == [("agent", "12#")]
    assert len(heard.said("agent")) == 2, "the talk goes on"


def test_whose_model_has_failed_apologises_and_ends(played: Played) -> None:
    heard = played["given up"]
    assert heard.said("agent")[-1] == APOLOGY
    assert heard.ends == ("provider", "provider_failed")


def test_whose_model_has_failed_puts_the_caller_through_where_it_is_to(played: Played) -> None:
    heard = played["put through by failure"]
    assert heard.said("agent")[-1] == APOLOGY
    assert "Dial" in heard.verbs
    assert heard.ends == ("success", "transferred")


def test_a_call_keeps_its_agent_while_the_file_changes(played: Played) -> None:
    assert played["before"].said("agent") == [
        "Hello, this is shop one.",
        "I am still shop one.",
        "Goodbye from shop one.",
    ]
    assert played["after"].said("agent") == ["Hello, this is shop two."]
    versions = {played[name].record["agent_version"] for name in ("before", "after")}
    assert len(versions) == 2


def test_a_broken_file_is_refused_with_its_line_and_the_old_one_stays(played: Played) -> None:
    assert played["broken"].said("agent") == ["Hello, this is shop two."]
    refused = [x for x in played.platform.log() if x["event"] == "agent_file_refused"]
    assert [line["is_old_kept"] for line in refused] == [True]
    assert "shop.yaml:4: colour: is no field here" in refused[0]["fault"]
    assert played.platform.metric("voice_agent_files_refused_total") == 1


def test_what_happened_in_a_call_is_posted_once_and_signed(played: Played) -> None:
    (body,) = played.bodies("keys")
    (got,) = [one for one in played.posted if json.loads(one.body)["call_id"] == body["call_id"]]
    at_s = int(got.headers["parley-signature"].partition(",")[0].removeprefix("t="))
    assert got.headers["parley-signature"] == sign_body(got.body, SECRET, at_s)
    assert abs(at_s - time.time()) < 120
    transcript = body["transcript"]
    assert {entry["who"] for entry in transcript} >= {"agent", "caller", "tool"}
    assert [e["at_ms"] for e in transcript] == sorted(e["at_ms"] for e in transcript)
    assert next(e["name"] for e in transcript if e["who"] == "tool") == "balance"
    assert sum(e.get("is_interrupted", False) for e in transcript) == 1
    assert body["summary"]["interruptions"] == 1
    timed = [entry for entry in transcript if "total" in entry.get("latency_ms", {})]
    assert len(timed) >= 2
    assert {(one["kind"], one["provider"]) for one in body["usage"]} >= {
        ("llm", "openai"),
        ("stt", "deepgram"),
    }
    assert body["end"]["reason"] == "agent_hung_up"


def test_every_end_is_posted_once(played: Played) -> None:
    assert {name: len(played.bodies(name)) for name in POSTED} == dict.fromkeys(POSTED, 1)
    assert len(played.posted) == len(POSTED)


def test_no_word_is_kept_where_none_may_be(played: Played) -> None:
    heard = played["quiet"]
    assert heard.record["summary"]["turns"] >= 2, "it has to have been a talk"
    (body,) = played.bodies("quiet")
    for kept in (json.dumps(heard.record), json.dumps(body), played.platform.log_text()):
        assert NOT_TOLD not in kept
        assert "what do you sell" not in kept
    assert all(not entry["text"] for entry in heard.record["transcript"])


def test_a_number_that_was_keyed_and_spoken_is_kept_nowhere(played: Played) -> None:
    heard = played["redacted"]
    texts = " ".join(heard.said("agent"))
    assert "Is that right?" in texts, "it has to have been taken down"
    (body,) = played.bodies("redacted")
    for kept in (json.dumps(heard.record), json.dumps(body), played.platform.log_text()):
        assert KEYED not in kept
        assert SPOKEN not in kept


def test_a_machine_is_hung_up_on(played: Played) -> None:
    heard = played["machine hung up on"]
    assert heard.ends == ("success", "machine")
    assert heard.report["duration_s"] < 10


@pytest.mark.parametrize("name", ["message left", "machine by its words"])
def test_a_message_is_left_whole_once_the_machine_has_ended(played: Played, name: str) -> None:
    heard = played[name]
    assert heard.ends == ("success", "machine"), heard.record["transcript"]
    assert heard.said("agent")[-1] == MESSAGE
    last = heard.report["spans"]["agent"][-1]
    machine_ended_ms = heard.report["spans"]["caller"][-1]["end_ms"]
    spans = [s for s in heard.report["spans"]["agent"] if s["from_ms"] > machine_ended_ms]
    assert spans[0]["from_ms"] >= machine_ended_ms + 1000
    voice = open_voice()
    spoken_ms = 1000 * len(voice.synthesise(MESSAGE)) / voice.sample_rate_hz
    voice.close()
    assert last["to_ms"] - spans[0]["from_ms"] == pytest.approx(spoken_ms, rel=0.15)


def test_a_silent_caller_is_asked_and_then_left(played: Played) -> None:
    heard = played["silence"]
    assert heard.said("agent") == ["Hello.", *SILENCE]
    assert heard.ends == ("success", "agent_hung_up")


def test_a_long_call_ends_with_its_words(played: Played) -> None:
    heard = played["time limit"]
    assert heard.said("agent")[-1] == TIME_LIMIT
    assert heard.ends == ("platform", "time_limit")
    assert heard.report["duration_s"] < 24, "the caller has not hung up"


def test_a_greeting_that_must_be_heard_is_not_stopped(played: Played) -> None:
    heard = played["legal"]
    first = next(entry for entry in heard.record["transcript"] if entry["who"] == "agent")
    assert (first["text"], first["is_interrupted"]) == (LEGAL, False)
    assert [one["how"] for one in heard.report["barge_ins"]] != ["cleared"]


@pytest.mark.parametrize(
    ("name", "agent"),
    [
        ("by number", "quiet"),
        ("by name", "desk"),
        ("by a name that is not there", "quiet"),
        ("by nothing", "default"),
    ],
)
def test_the_agent_is_chosen(played: Played, name: str, agent: str) -> None:
    assert played[name].record["agent"] == agent


def test_nothing_has_crashed(played: Played) -> None:
    assert played.platform.metric("voice_agent_sessions_crashed_total") == 0
    levels = {line.get("level") for line in played.platform.log()}
    errors = [x for x in played.platform.log() if x.get("level") == "error"]
    failed = [line for line in errors if line["event"] == "call_ended"]
    assert {line["reason"] for line in failed} == {"provider_failed"}, failed
    assert {line["event"] for line in errors} <= {"agent_file_refused", "call_ended"}, levels
