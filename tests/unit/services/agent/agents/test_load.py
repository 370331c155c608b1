"""Files to agents, or to one line a fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.agent.agents.document import MOST_BYTES
from services.agent.agents.file import AgentFile, HttpTool, ProviderChoice
from services.agent.agents.load import Agent, BadAgent, Loader, load_flow
from services.agent.providers.registry import Registry
from tests.support.agents import FixedSecrets, make_loader
from tests.unit.services.agent.agents.faulty_files import FAULTY_FILES


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, so that faults name the file alone; with a flow that is faulty."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "parley.yaml").write_text("steps: {a: {promt: x}}\n")
    return tmp_path


def load(text: str | bytes, **keys: str) -> Agent:
    path = Path("agent.yaml")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return make_loader(**keys).load(path)


def faults_of(text: str | bytes) -> list[str]:
    with pytest.raises(BadAgent) as raised:
        load(text)
    return str(raised.value).splitlines()


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("kind", FAULTY_FILES)
def test_a_faulty_file_gives_one_clear_line(kind: str) -> None:
    text, line = FAULTY_FILES[kind]
    assert faults_of(text) == [line]


@pytest.mark.usefixtures("place")
def test_a_file_that_is_no_text_says_where() -> None:
    assert faults_of(b"greeting: Hi\nprompt: \xff\xfe\n") == [
        "agent.yaml:2: a character that is not UTF-8"
    ]


@pytest.mark.usefixtures("place")
def test_a_file_that_is_too_large_is_not_read() -> None:
    assert faults_of("#" * (MOST_BYTES + 1)) == ["agent.yaml:1: larger than 256 KiB"]


@pytest.mark.usefixtures("place")
def test_a_file_that_is_not_there_says_so() -> None:
    with pytest.raises(BadAgent) as raised:
        make_loader().load(Path("nobody.yaml"))
    assert str(raised.value) == "nobody.yaml:1: can't be read: No such file or directory"


@pytest.mark.usefixtures("place")
def test_every_fault_is_told_in_the_order_of_the_lines() -> None:
    assert faults_of("greting: Hi\nlimits:\n  retries: 9\nlanguage: E N\n") == [
        "agent.yaml:1: greting: is no field here; did you mean greeting?",
        "agent.yaml:3: limits.retries: should be at most 5",
        "agent.yaml:4: language: should be a language, such as en or hi-IN",
    ]


@pytest.mark.usefixtures("place")
def test_a_fault_of_a_named_flow_is_one_of_the_flows_file() -> None:
    assert faults_of("flow: parley\n") == [
        "flows/parley.yaml:1: steps.a.promt: is no field here; did you mean prompt?"
    ]


@pytest.mark.usefixtures("place")
def test_a_flow_that_is_no_yaml_is_told_of_by_its_own_line() -> None:
    Path("flows/open.yaml").write_text('steps:\n  a: {prompt: "What}\n')
    assert faults_of("flow: open\n") == ["flows/open.yaml:2: a quote is opened and never closed"]


def test_a_fault_never_repeats_a_key_that_was_pasted_in(place: Path) -> None:
    del place
    text = "providers:\n  llm:\n    - openai: {api_key_env: sk-secret-1, model: 3}\n"
    assert not [line for line in faults_of(text) if "sk-secret-1" in line]


@pytest.mark.usefixtures("place")
def test_a_small_file_is_enough() -> None:
    agent = load("greeting: Hi\nprompt: You are brief.\n")
    assert agent.file == AgentFile(name="agent", greeting="Hi", prompt="You are brief.")
    assert agent.flow is None


@pytest.mark.usefixtures("place")
def test_words_stay_words_and_numbers_of_phones_stay_texts() -> None:
    agent = load(
        "greeting: no\nnumbers: [+918000000001]\ntransfer: {sales: +918000000002}\n"
        "flow:\n  steps:\n    a:\n      prompt: Well?\n      intents:\n"
        "        yes: {phrases: [yes, on], key: 1}\n"
    )
    assert agent.file.greeting == "no"
    assert agent.file.numbers == ("+918000000001",)
    assert agent.file.transfer == {"sales": "+918000000002"}
    assert agent.flow is not None
    (intent,) = agent.flow.steps[0].intents
    assert (intent.name, intent.phrases, intent.key) == ("yes", ("yes", "on"), "1")


@pytest.mark.usefixtures("place")
def test_one_entry_stands_for_a_list_of_one() -> None:
    file = load("providers: {tts: openai, stt: {openai: {model: large}}}\n").file
    assert file.providers.tts == (ProviderChoice(name="openai"),)
    assert file.providers.stt == (ProviderChoice(name="openai", options={"model": "large"}),)


@pytest.mark.usefixtures("place")
def test_a_plugin_is_judged_by_its_own_kind_of_options() -> None:
    assert load("providers: {llm: ['livekit:acme']}\n").file.providers.llm[0].name == "livekit:acme"
    assert faults_of("providers: {llm: [{'livekit:acme': {modle: x}}]}\n") == [
        "agent.yaml:1: providers.llm[0].livekit:acme.modle: is no field here; did you mean model?"
    ]


@pytest.mark.usefixtures("place")
def test_a_provider_whose_module_is_not_here_is_taken_by_its_name() -> None:
    path = Path("agent.yaml")
    path.write_text("providers: {stt: [{deepgram: {anything: 1}}]}\n")
    nobody = Loader(Registry({}, {}, {}, {}, {}), FixedSecrets())
    assert nobody.load(path).file.providers.stt[0].options


@pytest.mark.usefixtures("place")
def test_a_tool_may_use_arguments_facts_and_secrets() -> None:
    agent = load(
        "tools:\n  - name: look\n    description: Looks.\n    url: https://example.com/{day}\n"
        "    headers: {K: '{secret.KEY} {metadata.customer}'}\n    body: [{from: '{call.from}'}]\n"
        "    secrets: KEY\n"
        "    parameters: {type: object, properties: {day: {type: string}}, required: [day]}\n"
    )
    (tool,) = agent.file.tools
    assert isinstance(tool, HttpTool)
    assert tool.secrets == ("KEY",)


@pytest.mark.usefixtures("place")
def test_an_alias_stands_for_what_it_names() -> None:
    agent = load("failure: {apology: &sorry I am sorry.}\nmachine: {message: *sorry}\n")
    assert agent.file.machine.message == "I am sorry."


@pytest.mark.usefixtures("place")
def test_the_version_changes_with_the_file_and_with_its_flow() -> None:
    flow = Path("flows/short.yaml")
    flow.write_text("greeting: Hi\nsteps: {a: {prompt: What}}\n")
    versions = [load("flow: short\n").version, load("flow: short \n").version]
    flow.write_text("greeting: Ho\nsteps: {a: {prompt: What}}\n")
    versions.append(load("flow: short\n").version)
    assert len(set(versions)) == 3
    assert {len(version) for version in versions} == {12}


@pytest.mark.usefixtures("place")
def test_the_agents_greeting_comes_before_the_flows() -> None:
    Path("flows/short.yaml").write_text("greeting: Hi\nsteps: {a: {prompt: What}}\n")
    agent = load("flow: short\ngreeting: Good day.\n")
    assert agent.flow is not None
    assert agent.flow.greeting == ("Good day.",)
    assert load_flow(Path("flows/short.yaml")).greeting == ("Hi",)


@pytest.mark.usefixtures("place")
def test_a_faulty_flow_by_itself_is_refused() -> None:
    with pytest.raises(BadAgent, match="did you mean prompt"):
        load_flow(Path("flows/parley.yaml"))


WARNINGS = {
    "a key that is not set": (
        "prompt: x\nproviders:\n  llm: [openai, offline]\n",
        ["agent.yaml:3: providers.llm[0]: openai is left out: OPENAI_API_KEY is not set"],
    ),
    "a plugin's key": (
        "prompt: x\nproviders:\n  llm: ['livekit:acme_x', openai]\n",
        [
            "agent.yaml:3: providers.llm[0]: livekit:acme_x is left out: ACME_X_API_KEY is not set",
            "agent.yaml:3: providers.llm[1]: openai is left out: OPENAI_API_KEY is not set",
            "agent.yaml:3: providers.llm: nobody is left: no call can be taken like this",
        ],
    ),
    "neither prompt nor flow": (
        "greeting: Hi\n",
        ["agent.yaml:1: neither prompt nor flow: this agent has nothing to say but its greeting"],
    ),
    "a prompt that nobody reads": (
        "prompt: x\n",
        ["agent.yaml:1: providers.llm: offline answers by a flow, and there is none"],
    ),
    "transfer numbers that nothing uses": (
        "flow: {steps: {a: {prompt: x}}, greeting: Hi}\ntransfer: {sales: +918000000001}\n",
        ["agent.yaml:2: transfer: nothing transfers: list the tool `transfer`, or take it out"],
    ),
    "a recording of what is to be left out": (
        "flow: {steps: {a: {prompt: x}}, greeting: Hi}\n"
        "data: {redact: [numbers]}\nrecording: {enabled: true}\n",
        ["agent.yaml:3: recording: holds every word, also what `data` leaves out of the text"],
    ),
    "secrets that are not set": (
        "flow: {steps: {a: {prompt: x}}, greeting: Hi}\n"
        "after_call: {url: https://example.com, secret: HOOK}\n"
        "tools: [{name: a, description: b, url: https://example.com, secrets: KEY}]\n",
        [
            "agent.yaml:2: after_call.secret: HOOK is not set",
            "agent.yaml:3: tools[0].secrets: KEY is not set",
        ],
    ),
}


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("kind", WARNINGS)
def test_what_an_owner_should_know_is_a_warning(kind: str) -> None:
    text, lines = WARNINGS[kind]
    assert sorted(map(str, load(text).warnings)) == sorted(lines)


@pytest.mark.usefixtures("place")
def test_a_server_that_wants_no_key_needs_none() -> None:
    assert load("prompt: x\nproviders: {llm: [{openai: {api_key_env: ''}}]}\n").warnings == ()


@pytest.mark.usefixtures("place")
def test_with_keys_there_is_nothing_to_warn_of() -> None:
    text = "prompt: x\nproviders:\n  llm: [openai]\n"
    assert load(text, OPENAI_API_KEY="k").warnings == ()
    own = "prompt: x\nproviders:\n  llm: [{openai: {api_key_env: OWN}}]\n"
    assert load(own, OWN="k").warnings == ()
    first = str(load(own, OPENAI_API_KEY="k").warnings[0])
    assert first.endswith("openai is left out: OWN is not set")


@pytest.mark.usefixtures("place")
def test_a_prompt_is_missed_where_a_language_model_would_need_it() -> None:
    text = "flow: {steps: {a: {prompt: x}}, greeting: Hi}\nproviders: {llm: [openai]}\n"
    assert [str(w) for w in load(text, OPENAI_API_KEY="k").warnings] == [
        "agent.yaml:1: prompt: is missing: a language model has nothing to go by"
    ]
