"""Agents made of their files: their chains, what is said in advance, what is given back."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from services.agent.company.casting import Production, open_brain, produce
from services.agent.dialogue.brain import LanguageBrain
from services.agent.providers.base import Say, Words
from services.agent.providers.chain.brain import FallbackBrain
from services.agent.providers.chain.speech_brain import GuardedSpeech
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.providers.errors import ProviderFailed, ProviderUnavailable
from services.agent.providers.offline.flow import FlowBrain
from services.agent.tools.base import ToolUnusable
from services.agent.tools.toolbox import ToolBox
from services.agent.turn.rules import OnMachine
from tests.support.providers import FakeSynthesiser
from tests.support.workshop import FACTS, Providers, chains, make_agent, make_workshop

ALL = chains(
    stt=("deepgram", "offline"), llm=("openai", "offline"), tts=("openai", "deepgram", "offline")
)
KEYS = ("DEEPGRAM_API_KEY", "OPENAI_API_KEY")


@pytest.fixture
def providers() -> Providers:
    return Providers()


# --- chains ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "opened"),
    [
        ((), {("stt", "offline"), ("tts", "offline")}),
        (
            ("OPENAI_API_KEY",),
            {("stt", "offline"), ("llm", "openai"), ("tts", "openai"), ("tts", "offline")},
        ),
        (
            KEYS,
            {
                *(("stt", "deepgram"), ("stt", "offline"), ("llm", "openai")),
                *(("tts", "openai"), ("tts", "deepgram"), ("tts", "offline")),
            },
        ),
    ],
)
async def test_those_whose_key_is_set_are_taken(
    providers: Providers, keys: tuple[str, ...], opened: set[tuple[str, str]]
) -> None:
    workshop = make_workshop(providers, *keys)
    made = await produce(make_agent(providers=ALL), workshop)
    assert {(kind, name) for kind, name, _ in providers.opened} == opened
    assert made.cast.version == "v1"
    await made.aclose()


async def test_the_first_of_a_chain_speaks(providers: Providers) -> None:
    made = await produce(
        make_agent(greeting="Hello.", providers=ALL), make_workshop(providers, *KEYS)
    )
    assert "Hello." in providers.voices["openai en"].spoken
    assert providers.voices["offline en"].spoken == []
    await made.aclose()


async def test_a_provider_that_cannot_be_made_leaves_the_rest(providers: Providers) -> None:
    providers.broken |= {("stt", "deepgram"), ("tts", "openai"), ("llm", "openai")}
    with capture_logs() as logs:
        made = await produce(make_agent(providers=ALL), make_workshop(providers, *KEYS))
    assert {(log["kind"]) for log in logs if log["event"] == "provider_left_out"} == {
        *("stt", "tts", "llm")
    }
    assert isinstance(made.cast.brain, FlowBrain), "the flow is there where no model is"
    await made.aclose()


@pytest.mark.parametrize("kind", ["stt", "tts"])
async def test_without_ears_or_voice_there_is_no_agent(providers: Providers, kind: str) -> None:
    providers.broken.add((kind, "offline"))
    workshop = make_workshop(providers)
    with pytest.raises(ProviderUnavailable, match=r"shop.*openai|shop.*deepgram.*no key") as caught:
        await produce(make_agent(providers=ALL), workshop)
    assert "broken by the test" in str(caught.value)
    assert workshop.pool.users() == [], "what was taken before is given back"


async def test_without_a_brain_there_is_no_agent(providers: Providers) -> None:
    workshop = make_workshop(providers)
    with pytest.raises(ProviderUnavailable, match="for shop: no model, and there is no flow"):
        await produce(make_agent(has_flow=False, providers=ALL), workshop)
    assert workshop.pool.users() == []


@pytest.mark.parametrize(
    ("keys", "has_flow", "kind"),
    [((), True, FlowBrain), (KEYS, False, LanguageBrain), (KEYS, True, FallbackBrain)],
)
async def test_the_brain_is_what_can_be_had(
    providers: Providers, keys: tuple[str, ...], has_flow: bool, kind: type
) -> None:
    agent = make_agent(has_flow=has_flow, providers=ALL)
    made = await produce(agent, make_workshop(providers, *keys))
    assert type(made.cast.brain) is kind
    await made.aclose()


async def test_a_model_greets_as_the_flow_would(providers: Providers) -> None:
    agent = make_agent(providers=chains(llm=("openai",)))
    made = await produce(agent, make_workshop(providers, *KEYS))
    conversation = made.cast.brain.open(FACTS, {})
    pieces = [piece async for piece in conversation.greet()]
    assert agent.flow is not None
    assert pieces[0] == Say("Hello from the flow.")
    await conversation.aclose()
    await made.aclose()


async def test_the_flow_greets_as_the_file_says(providers: Providers) -> None:
    agent = make_agent(greeting="Please listen.", greeting_interruptible=False)
    made = await produce(agent, make_workshop(providers))
    conversation = made.cast.brain.open(FACTS, {})
    first = await anext(conversation.greet())
    assert first == Say("Please listen.", is_interruptible=False)
    await made.aclose()


async def test_a_tool_that_cannot_be_made_is_an_error(providers: Providers) -> None:
    workshop = make_workshop(providers)
    with pytest.raises(ToolUnusable, match="transfer"):
        await produce(make_agent(tools=["transfer"]), workshop)
    assert workshop.pool.users() == []


async def test_a_brain_alone_needs_no_ears(providers: Providers) -> None:
    agent, workshop = make_agent(providers=ALL), make_workshop(providers, *KEYS)
    toolbox = ToolBox.build(agent.file, workshop.secrets)
    async with open_brain(agent, workshop, toolbox) as brain:
        conversation = brain.open(FACTS, {})
        assert {kind for kind, _, _ in providers.opened} == {"llm"}
        await conversation.aclose()
    assert workshop.pool.users() == []


# --- languages ------------------------------------------------------------------------------------


async def test_each_language_has_ears_voice_and_model_of_its_own(providers: Providers) -> None:
    agent = make_agent(
        providers=ALL,
        languages={"hi": {"greeting": "Namaste.", "providers": {"tts": ["deepgram"]}}},
    )
    made = await produce(agent, make_workshop(providers, *KEYS))
    assert set(made.cast.tongues) == {"en", "hi"}
    hindi = {(kind, name) for kind, name, language in providers.opened if language == "hi"}
    assert hindi == {("stt", "deepgram"), ("tts", "deepgram"), ("llm", "openai")}
    assert "Namaste." in providers.voices["deepgram hi"].spoken
    assert made.cast.tongue("hi").rules.language == "hi"
    assert made.cast.tongue("fr") is made.cast.tongue("en")
    await made.aclose()


async def test_a_language_that_nobody_hears_is_left_out_and_never_switched_to(
    providers: Providers,
) -> None:
    """A model went on to switch to it, and nobody understood the caller any more."""
    agent = make_agent(
        providers=ALL,
        languages={"hi": {"providers": {"stt": ["deepgram"]}}},
        tools=["hang_up", "switch_language"],
    )
    providers.broken.add(("stt", "deepgram"))
    with capture_logs() as logs:
        made = await produce(agent, make_workshop(providers, *KEYS))
    assert [log["agent"] for log in logs if log["event"] == "language_left_out"] == ["shop"]
    assert set(made.cast.tongues) == {"en"}
    conversation = made.cast.brain.open(FACTS, {})
    heard = providers.models["openai en"].asked
    async for _ in conversation.reply(
        Words("hello", is_understood=True), (), ReplyConfirmation(is_given=True)
    ):
        pass
    assert heard[0][1] == ["hang_up"]
    await conversation.aclose()
    await made.aclose()


# --- in advance -----------------------------------------------------------------------------------


async def test_what_is_always_the_same_is_spoken_in_advance(providers: Providers) -> None:
    agent = make_agent(
        greeting="Hello.",
        goodbye="Bye.",
        transfer={"operator": "+918000000009"},
        failure={"apology": "Sorry."},
        machine={"then": "leave_message", "message": "Call us back."},
        turn_taking={
            "filler": {"texts": "One moment."},
            "silence": {"prompts": "Are you there?", "goodbye": "Then goodbye."},
            "time_limit": "Time is over.",
        },
    )
    made = await produce(agent, make_workshop(providers))
    wanted = {
        *("Hello.", "Bye.", "Sorry.", "Call us back.", "One moment.", "Are you there?"),
        *("Then goodbye.", "Time is over.", "I hear nothing.", "Farewell!"),
        *("I am sorry, I could not connect you.", "What else can I do for you?"),
    }
    assert wanted <= set(providers.voices["offline en"].spoken)
    tongue = made.cast.tongue("en")
    assert tongue.speech.prepared(tongue.rules.failure.transfer_failed) is not None
    assert tongue.rules.machine.then is OnMachine.LEAVE_MESSAGE
    await made.aclose()


async def test_what_differs_from_call_to_call_is_not(providers: Providers) -> None:
    made = await produce(make_agent(greeting="Hello {metadata.name}."), make_workshop(providers))
    assert not [text for text in providers.voices["offline en"].spoken if "Hello " in text]
    await made.aclose()


async def test_the_last_resort_speaks_where_nobody_else_can(providers: Providers) -> None:
    resort = FakeSynthesiser()
    agent = make_agent(failure={"apology": "Sorry about that."})
    voice = providers.voices["offline en"] = FakeSynthesiser()
    voice.broken.add("Sorry about that.")
    made = await produce(agent, make_workshop(providers, last_resort=resort))
    assert resort.spoken == ["Sorry about that."]
    assert made.cast.tongue("en").speech.prepared("Sorry about that.") is not None
    await made.aclose()


# --- speech to speech, ends of turns --------------------------------------------------------------


async def test_a_speech_brain_is_the_agent(providers: Providers) -> None:
    agent = make_agent(greeting="Hello.", prompt="You are it.", providers={"realtime": "openai"})
    made = await produce(agent, make_workshop(providers, "OPENAI_API_KEY"))
    assert isinstance(made.cast.speech_brain, GuardedSpeech)
    persona = providers.speech_brain.persona
    assert persona is not None
    assert persona.greeting(FACTS) == "Hello."
    conversation, ear = made.cast.open(FACTS, {})
    await conversation.aclose()
    await ear.aclose()
    await made.aclose()


async def test_a_speech_brain_that_refuses_gives_way_to_the_others(providers: Providers) -> None:
    made = await produce(
        make_agent(providers={"realtime": "openai"}), make_workshop(providers, "OPENAI_API_KEY")
    )
    providers.speech_brain.failure = ProviderFailed("openai", "no")
    with capture_logs() as logs:
        conversation, ear = made.cast.open(FACTS, {})
    assert [log["event"] for log in logs].count("speech_brain_left") == 1
    await conversation.aclose()
    await ear.aclose()
    await made.aclose()


@pytest.mark.parametrize(("keys", "is_broken"), [((), False), (("OPENAI_API_KEY",), True)])
async def test_no_speech_brain_is_no_reason_to_have_no_agent(
    providers: Providers, keys: tuple[str, ...], is_broken: bool
) -> None:
    if is_broken:
        providers.broken.add(("realtime", "openai"))
    made = await produce(
        make_agent(providers={"realtime": "openai"}), make_workshop(providers, *keys)
    )
    assert made.cast.speech_brain is None
    await made.aclose()


@pytest.mark.parametrize("is_broken", [False, True])
async def test_ends_of_turns_are_judged_where_a_model_can_be_had(
    providers: Providers, is_broken: bool
) -> None:
    if is_broken:
        providers.broken.add(("end_of_turn", "smart_turn"))
    agent = make_agent(providers={"end_of_turn": "smart_turn"})
    made = await produce(agent, make_workshop(providers))
    assert (made.cast.end_of_turn is None) is is_broken
    await made.aclose()


# --- giving back ----------------------------------------------------------------------------------


async def test_everything_is_given_back(providers: Providers) -> None:
    workshop = make_workshop(providers, *KEYS)
    agent = make_agent(
        languages={"hi": {}},
        providers={**ALL, "realtime": "openai", "end_of_turn": "smart_turn"},
    )
    first, second = [await produce(agent, workshop) for _ in range(2)]
    assert set(workshop.pool.users()) == {2}
    await first.aclose()
    assert set(workshop.pool.users()) == {1}
    assert not providers.closed
    await second.aclose()
    assert workshop.pool.users() == []
    opened = [(kind, name) for kind, name, _ in providers.opened]
    assert sorted(providers.closed.elements()) == sorted(opened)


async def test_a_production_remembers_whose_it_is(providers: Providers) -> None:
    agent = make_agent()
    made: Production = await produce(agent, make_workshop(providers))
    assert made.agent is agent
    assert made.cast.file is agent.file
    await made.aclose()


# --- recordings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("has_recordings", [True, False])
@pytest.mark.parametrize("keys", [(), KEYS])
async def test_a_recording_is_announced_first_where_one_is_made(
    providers: Providers, keys: tuple[str, ...], has_recordings: bool
) -> None:
    said = "This call is recorded."
    recording = {"enabled": True, "announcement": said}
    made = await produce(
        make_agent(greeting="Hello.", providers=ALL, recording=recording),
        make_workshop(providers, *keys, has_recordings=has_recordings),
    )
    conversation, ear = made.cast.open(FACTS, {})
    pieces = [piece async for piece in conversation.greet()]
    greeting = " ".join(piece.text for piece in pieces if isinstance(piece, Say))
    assert greeting == (f"{said} Hello." if has_recordings else "Hello.")
    assert made.cast.tongue("en").rules.uninterruptible == ((said,) if has_recordings else ())
    assert made.agent.file.greeting == "Hello.", "the file stays as its owner wrote it"
    await ear.aclose()
    await conversation.aclose()
    await made.aclose()
