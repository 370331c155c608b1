from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from services.simulator.__main__ import parse_arguments
from services.simulator.asked import person_of, plan_of, platform_of
from services.simulator.calls.knobs import HangupKnob, Knobs, ReconnectKnob, SignatureKnob
from services.simulator.person.caller import CallerScript, KeyPresses, Utterance
from services.simulator.person.script import BadScript, Press, SayText, SayWav, build_script
from services.simulator.person.voice import Speaker
from services.simulator.rest.control import control
from services.simulator.rest.crowd import crowd
from services.simulator.rest.trouble import trouble
from services.simulator.results.platform_record import platform_call_id
from shared.audio.level import level_dbfs
from shared.audio.wav import write_wav
from shared.protocol.telephony import WireShape
from tests.support.simulated_call import no_voice
from tests.support.vendor_server import tone


def test_what_is_said_and_pressed_keeps_its_order() -> None:
    options = parse_arguments(
        ["call", "--say", "one", "--wav", "two.wav", "--press", "3#", "--say", "four"]
    )
    assert person_of(options).turns == [
        SayText("one"),
        SayWav(Path("two.wav")),
        Press("3#"),
        SayText("four"),
    ]


def test_barge_ins_and_timed_keys_are_read() -> None:
    options = parse_arguments(
        ["call", "--barge-in-at", "turn,1.5", "--barge-in-at", "2", "--dtmf", "42#@6.5"]
    )
    person = person_of(options)
    assert person.barge_ins == [None, 1.5, 2.0]
    assert person.pressed_at == [KeyPresses("42#", at_s=6.5)]


def test_one_barge_in_can_hold_for_all_that_is_said() -> None:
    said = ["--say", "a", "--say", "b", "--press", "1", "--say", "c"]
    options = parse_arguments(["call", *said, "--barge-in-at", "turn,1.5*"])
    assert person_of(options).barge_ins == [None, 1.5, 1.5]


@pytest.mark.parametrize(
    "wrong", [["--barge-in-at", "soon"], ["--dtmf", "42"], ["--dtmf", "x@1"], ["--shape", "round"]]
)
def test_options_that_make_no_sense_end_the_program(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["call", *wrong])
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_gateway_gives_all_three_urls() -> None:
    options = parse_arguments(["call", "--gateway", "http://h:1/secret/"])
    plan = plan_of(options, CallerScript(), auth_id="MA_1", token="t")
    assert plan.answer.url == "http://h:1/secret/answer"
    assert plan.hangup is not None
    assert plan.hangup.url == "http://h:1/secret/hangup"
    assert plan.fallback is not None


def test_an_answer_url_alone_gets_the_hangup_too() -> None:
    options = parse_arguments(["call", "--answer-url", "http://h:1/a"])
    plan = plan_of(options, CallerScript(), auth_id="MA_1", token="t")
    assert (plan.hangup, plan.fallback) == (None, None)
    assert platform_of(options) == "http://h:1"
    assert platform_of(parse_arguments(["call", "--platform", "none"])) is None


def test_the_knobs_follow_the_options() -> None:
    cloud = ["--unsigned", "--shape", "flat", "--reconnect", "B", "--drop-socket-at", "3"]
    line = ["--line-noise-dbfs", "-50", "--echo-db", "-25"]
    options = parse_arguments(["call", *cloud, "--hangup-as", "stop", *line])
    plan = plan_of(options, CallerScript(), auth_id="MA_1", token="t")
    assert plan.knobs.signature is SignatureKnob.NONE
    assert plan.knobs.shape is WireShape.FLAT
    assert plan.knobs.reconnect is ReconnectKnob.B
    assert plan.knobs.hangup is HangupKnob.STOP_EVENT
    assert plan.knobs.drop_socket_at_s == (3.0,)
    assert (plan.quality.noise_dbfs, plan.quality.echo_db) == (-50.0, -25.0)


def test_the_calls_of_a_load_differ_in_seed_and_number() -> None:
    options = parse_arguments(["load", "--calls", "2"])
    first, second = (
        plan_of(options, CallerScript(), auth_id="MA_1", token="t", index=i) for i in (0, 1)
    )
    assert first.facts.from_number == "+918000000001"
    assert second.facts.from_number == "+918000000002"
    assert first.knobs.seed != second.knobs.seed
    assert first.facts.call_uuid != second.facts.call_uuid


def test_the_platforms_id_is_what_the_answer_url_carries() -> None:
    options = parse_arguments(["call", "--answer-url", "http://h/a?c=our-id&x=1"])
    plan = plan_of(options, CallerScript(), auth_id="MA_1", token="t")
    assert platform_call_id(plan) == "our-id"
    bare = plan_of(parse_arguments(["call"]), CallerScript(), auth_id="MA_1", token="t")
    assert platform_call_id(bare) == bare.facts.call_uuid


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 44100, 48000])
async def test_recordings_of_any_rate_become_8_khz(tmp_path: Path, rate_hz: int) -> None:
    pcm = np.rint(9000 * np.sin(2 * np.pi * 400 * np.arange(rate_hz) / rate_hz)).astype(np.int16)
    write_wav(tmp_path / "a.wav", pcm, rate_hz)
    script = await build_script([SayWav(tmp_path / "a.wav")], Speaker(no_voice), barge_ins=[1.5])
    (turn,) = script.turns
    assert isinstance(turn, Utterance)
    assert (len(turn.pcm), turn.label, turn.barge_in_s) == (8000, "a.wav", 1.5)
    assert level_dbfs(turn.pcm) == pytest.approx(level_dbfs(pcm), abs=0.2)


async def test_recordings_can_be_brought_to_a_level(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(1.0, dbfs=-40.0), 8000)
    script = await build_script(
        [SayWav(tmp_path / "a.wav"), Press("1")], Speaker(no_voice), level_dbfs=-20.0
    )
    said, pressed = script.turns
    assert isinstance(said, Utterance)
    assert level_dbfs(said.pcm) == pytest.approx(-20.0, abs=0.2)
    assert pressed == KeyPresses("1")


@pytest.mark.parametrize("content", [None, b"no wav", b""])
async def test_a_recording_that_cannot_be_read_says_so(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadScript, match=r"a\.wav"):
        await build_script([SayWav(path)], Speaker(no_voice))


def test_the_readme_names_every_knob_and_route() -> None:
    readme = (Path(__file__).resolve().parents[4] / "services/simulator/README.md").read_text()
    assert [field.name for field in fields(Knobs) if f"`{field.name}`" not in readme] == []
    own = (*control.routes, *crowd.routes, *trouble.routes)
    paths = {getattr(route, "path", "") for route in own}
    shown = [path.rpartition("/")[2] for path in paths if "{" not in path.rpartition("/")[2]]
    assert [word for word in shown if word not in readme] == []
