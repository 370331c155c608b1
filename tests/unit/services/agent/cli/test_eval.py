from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from services.agent.agents.file import AgentFile, HttpTool
from services.agent.cli import eval as eval_command
from services.agent.cli.eval_outcome import Fault, Judged, Outcome, ScenarioResult
from services.agent.cli.eval_report import COLUMNS, junit, turn_lines
from services.agent.cli.eval_source import LoadAgent
from services.agent.dialogue.brain import LanguageBrain
from services.agent.providers.base import Say, Usage
from services.agent.providers.errors import ProviderFailed
from services.agent.tools.toolbox import ToolBox
from tests.support.agent_source import default_agent, source_of
from tests.support.language_model import Answer, FakeLanguageModel, call_of
from tests.support.providers import FakeBrain
from tests.support.tools import FakeTool

EVALS = Path(__file__).resolve().parents[5] / "deploy" / "agents" / "evals"


def run(source: LoadAgent, *arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    parser = argparse.ArgumentParser()
    eval_command.add_parser(parser.add_subparsers(), source, out=out)
    args = parser.parse_args(["eval", *arguments])
    return args.func(args), out.getvalue()


def write(folder: Path, *turns: Any, **scenario: Any) -> str:
    path = folder / "scenarios.yaml"
    whole = {"scenarios": [{"name": "one", "turns": turns, **scenario}]}
    path.write_text(json.dumps(whole))
    return str(path)


def language(*script: Answer, **fields: Any) -> tuple[LoadAgent, FakeLanguageModel]:
    model = FakeLanguageModel(script)
    file = AgentFile.model_validate(fields)
    return source_of(lambda opened, tools: LanguageBrain(opened, model, tools), file), model


def test_the_default_agents_conversations_pass() -> None:
    code, out = run(default_agent(), "a.yaml", "--scenario", str(EVALS / "default.yaml"))
    assert code == 0, out
    assert out.endswith("all passed\n")
    assert max(map(len, out.splitlines())) <= COLUMNS


def test_scenarios_are_looked_for_beside_the_agents_file(tmp_path: Path) -> None:
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "shop.yaml").write_text("scenarios: [{name: a, turns: [{say: hi}]}]")
    source, _ = language("Hello.")
    assert run(source, str(tmp_path / "shop.yaml"))[0] == 0


def test_a_failed_turn_is_shown_with_what_came_and_fails_the_command(tmp_path: Path) -> None:
    source, _ = language("We open at nine.")
    path = write(tmp_path, {"say": "when?", "expect": {"says": "at ten"}})
    code, out = run(source, "a.yaml", "--scenario", path, "--junit", str(tmp_path / "j.xml"))
    assert code == 1
    assert '  FAIL say "when?"' in out
    assert "expected says /at ten/" in out
    assert 'came     "We open at nine."' in out
    suite = ET.fromstring((tmp_path / "j.xml").read_text())  # noqa: S314 - written by ourselves
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    assert "at ten" in (suite.findtext("testcase/failure") or "")


SHOP = HttpTool(name="book", description="", url="https://shop.invalid/", method="POST")


def test_tools_that_act_are_canned_and_the_model_reads_the_scenarios_result(
    tmp_path: Path,
) -> None:
    answers: list[Answer] = [[call_of("book")], "Booked for nine."]
    source, model = language(*answers, tools=(SHOP,))
    expect = {"tool": "book", "says": "nine"}
    path = write(tmp_path, {"say": "book", "expect": expect}, tools={"book": {"at": 9}})
    code, out = run(source, "a.yaml", "--scenario", path)
    assert code == 0, out
    assert model.asked[1][0][-1].text == '{"at": 9}'


def test_a_tool_that_acts_and_is_not_canned_touches_nothing(tmp_path: Path) -> None:
    source, model = language([call_of("book")], "Booked.", tools=(SHOP,))
    assert run(source, "a.yaml", "--scenario", write(tmp_path, {"say": "book"}))[0] == 0
    assert model.asked[1][0][-1].text == "Done."


def test_live_the_tools_are_used_as_they_are(tmp_path: Path) -> None:
    tool = FakeTool("book", acts=True)
    model = FakeLanguageModel([[call_of("book")], "Booked."])
    source = source_of(
        lambda opened, tools: LanguageBrain(opened, model, tools), AgentFile(), ToolBox([tool])
    )
    path = write(tmp_path, {"say": "book"}, tools={"book": "canned"})
    assert run(source, "a.yaml", "--scenario", path, "--live")[0] == 0
    assert (len(tool.used), model.asked[1][0][-1].text) == (1, "nine to five")


def test_an_interruption_cuts_what_the_agent_knows_it_said(tmp_path: Path) -> None:
    source, model = language("We are open from nine to five.", "Yes.")
    path = write(
        tmp_path,
        {"say": "when?"},
        {"interrupt": {"after_words": 3, "say": "on sunday?"}},
    )
    assert run(source, "a.yaml", "--scenario", path)[0] == 0
    said, then = model.asked[1][0][-2:]
    assert said.text == "We are open"
    assert 'heard nothing of you after "We are open"' in then.text


def test_an_interruption_before_the_first_word_leaves_none(tmp_path: Path) -> None:
    source, model = language("We are open.", "Yes.")
    path = write(tmp_path, {"say": "a"}, {"interrupt": {"after_words": 0, "say": "b"}})
    assert run(source, "a.yaml", "--scenario", path)[0] == 0
    assert [m.role for m in model.asked[1][0] if m.role != "system"] == ["user"]


def test_keys_for_a_gather_come_as_one(tmp_path: Path) -> None:
    gather = call_of("gather_digits", '{"prompt": "Your number?"}')
    source, model = language([gather], "Thanks.", [gather], "None?", tools=("gather_digits",))
    path = write(
        tmp_path,
        {"say": "go", "expect": {"says": "your number"}},
        {"press": "42#", "expect": {"says": "thanks"}},
        {"say": "go"},
        {"silence": True, "expect": {"says": "none"}},
    )
    code, out = run(source, "a.yaml", "--scenario", path)
    assert code == 0, out
    assert model.asked[1][0][-1].text == "(keypad) 4 2"


def test_a_call_that_ends_too_early_fails_the_turns_left(tmp_path: Path) -> None:
    source, _ = language([call_of("hang_up")])
    path = write(tmp_path, {"say": "hi"}, {"say": "are you there?"})
    code, out = run(source, "a.yaml", "--scenario", path)
    assert code == 1
    assert "expected the call goes on" in out
    assert "came     the call is over" in out


def test_transfers_and_languages_are_judged(tmp_path: Path) -> None:
    source, _ = language(
        [call_of("switch_language", '{"language": "hi"}')],
        "ठीक है।",
        [call_of("transfer", '{"to": "sales"}')],
        languages={"hi": {}},
        transfer={"sales": "+918000000009"},
        tools=("switch_language", "transfer"),
    )
    path = write(
        tmp_path,
        {"say": "hindi", "expect": {"language": "hi"}},
        {"say": "sales", "expect": {"transfers": "+918000000009"}},
    )
    code, out = run(source, "a.yaml", "--scenario", path)
    assert code == 0, out


def test_a_broken_brain_is_a_failed_turn(tmp_path: Path) -> None:
    brain = FakeBrain(script=[(Say("Well."), ProviderFailed("fake", "cut"))])
    source = source_of(lambda _file, _tools: brain, AgentFile())
    code, out = run(source, "a.yaml", "--scenario", write(tmp_path, {"say": "hi"}))
    assert code == 1
    assert "came     fake: cut" in out


def test_usage_is_no_word_and_one_conversation_can_be_chosen(tmp_path: Path) -> None:
    source, _ = language([Usage("llm", "fake", "output_tokens", 1.0), "Yes."])
    path = write(tmp_path, {"say": "hi", "expect": {"says": "^yes.$"}})
    assert run(source, "a.yaml", "--scenario", path, "--only", "one")[0] == 0
    code, out = run(source, "a.yaml", "--scenario", path, "--only", "two")
    assert (code, "no conversation 'two'" in out) == (2, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scenarios: []", "scenarios: "),
        ("scenarios: [{name: a, turns: [{sing: a}]}]", "scenarios.0.turns.0"),
        ("a: [", "not YAML"),
        ("x" * 1_000_001, "larger than"),
        ("3", "s.yaml"),
    ],
)
def test_a_bad_file_of_scenarios_is_refused_with_its_place(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "s.yaml").write_text(text)
    code, out = run(language()[0], "a.yaml", "--scenario", str(tmp_path / "s.yaml"))
    assert code == 2
    assert words in out


def test_a_bad_or_absent_file_is_one_line() -> None:
    code, out = run(source_of(lambda _file, _tools: FakeBrain()), "a.yaml")
    assert (code, out) == (2, "a.yaml: line 3: greeting: not a text\n")
    assert run(language()[0], "absent.yaml")[0] == 2


def test_lines_fit_eighty_columns_whatever_they_hold() -> None:
    long = Judged("x" * 200, Outcome(first_ms=12345.6, total_ms=99999.9), [Fault("w " * 90, "")])
    result = ScenarioResult("n" * 100, [long])
    assert max(len(line) for line in turn_lines(result)) <= COLUMNS
    passed = ScenarioResult("fine", [Judged("say", Outcome(), [])])
    suite = ET.fromstring(junit("a&b", [result, passed]))  # noqa: S314 - written by ourselves
    assert [len(case) for case in suite] == [1, 0]
