from __future__ import annotations

import argparse
import io

from services.agent.agents.file import AgentFile
from services.agent.cli import chat
from services.agent.cli.eval_source import LoadAgent
from services.agent.dialogue.brain import LanguageBrain
from services.agent.providers.errors import ProviderFailed
from tests.support.agent_source import default_agent, source_of
from tests.support.language_model import Answer, FakeLanguageModel, call_of
from tests.support.providers import FakeBrain

FLOW = default_agent()


def run(source: LoadAgent, *arguments: str, lines: str = "") -> tuple[int, str]:
    out = io.StringIO()
    parser = argparse.ArgumentParser()
    chat.add_parser(parser.add_subparsers(), source, lines=io.StringIO(lines), out=out)
    args = parser.parse_args(["chat", "a.yaml", *arguments])
    return args.func(args), out.getvalue()


def language(*script: Answer, **fields: object) -> LoadAgent:
    file = AgentFile.model_validate(fields)
    return source_of(
        lambda opened, tools: LanguageBrain(opened, FakeLanguageModel(script), tools), file
    )


def test_texts_given_are_said_in_turn() -> None:
    code, out = run(FLOW, "--say", "is it free", "goodbye")
    assert code == 0
    assert "Hello, this is Parley" in out
    assert "> is it free\nYes, Parley is free." in out
    assert out.rstrip().splitlines()[-2] == "(the agent hung up: goodbye)"


def test_lines_of_the_terminal_are_words_keys_and_silence() -> None:
    code, out = run(FLOW, lines="take my number\n/5550100#\n\n")
    assert code == 0
    assert "I have five five five, zero one zero zero. Is that right?" in out
    assert "Please say yes or no." in out
    assert out.endswith("(you hung up)\n")


def test_tools_are_shown_with_what_they_were_given() -> None:
    source = language(
        [call_of("send_dtmf", '{"digits": "12"}')],
        "Done.",
        [call_of("transfer", '{"to": "sales"}')],
        tools=("send_dtmf", "transfer"),
        transfer={"sales": "+918000000009"},
        greeting="Hi {metadata.name}.",
    )
    code, out = run(source, "--metadata", "name=Asha", "--say", "press", "sales")
    assert code == 0
    assert "Hi Asha.\n" in out
    assert "[send_dtmf(digits='12'): ok, 0.0 s]" in out
    assert "(the agent presses 12)" in out
    assert "(transferred to +918000000009)" in out


def test_languages_and_gathers_are_shown() -> None:
    source = language(
        [call_of("switch_language", '{"language": "hi"}')],
        [call_of("gather_digits", '{"prompt": "संख्या?"}')],
        "धन्यवाद।",
        tools=("switch_language", "gather_digits"),
        languages={"hi": {}},
    )
    code, out = run(source, "--say", "hindi", "/7#")
    assert code == 0
    assert "(language: hi)" in out
    assert "संख्या?\n(waits for keys: /...)" in out
    assert "धन्यवाद।" in out


def test_a_slash_before_words_is_just_said() -> None:
    code, out = run(language("Yes."), "--say", "/help")
    assert (code, "Yes." in out) == (0, True)


def test_a_broken_brain_ends_the_talk_with_its_reason() -> None:
    brain = FakeBrain(script=[(ProviderFailed("fake", "cut"),)])
    code, out = run(source_of(lambda _file, _tools: brain, AgentFile()), "--say", "hi", "more")
    assert code == 1
    assert out.endswith("(failed: fake: cut)\n")


def test_a_bad_file_is_one_line() -> None:
    code, out = run(source_of(lambda _file, _tools: FakeBrain()))
    assert (code, out) == (2, "a.yaml: line 3: greeting: not a text\n")
