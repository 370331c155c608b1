"""A worker's workshop with fake providers, so that agents can be made of their files at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from services.agent.agents.file import AgentFile
from services.agent.agents.flow_file import read_flow
from services.agent.agents.load import Agent
from services.agent.company.casting import Workshop
from services.agent.company.provider_pool import ProviderPool
from services.agent.providers import base
from services.agent.providers.base import CallFacts
from services.agent.providers.chain.link import Breakers
from services.agent.providers.errors import FailureCause, ProviderUnavailable
from services.agent.providers.persona import Persona
from services.agent.providers.registry import Entry, Options, Registry, Secrets
from shared.metrics.catalogue import ProviderMetrics
from shared.protocol.call import CallId, Direction
from tests.support.agents import FixedSecrets
from tests.support.clock import ManualClock
from tests.support.language_model import FakeLanguageModel
from tests.support.providers import FakeBrain, FakeConversation, FakeSynthesiser, FakeTranscriber

FLOW: Mapping[str, Any] = {
    "greeting": "Hello from the flow.",
    "steps": {
        "start": {
            "prompt": "What else?",
            "intents": {"hours": {"phrases": "when are you open", "say": "From nine to five."}},
        }
    },
    "farewell": "I hear nothing. Farewell!",
}
FACTS = CallFacts(CallId("call-1"), "shop", Direction.INBOUND, "+918000000001", "+918000000002")


def make_agent(version: str = "v1", *, has_flow: bool = True, **file: Any) -> Agent:
    """An agent as the loader gives it."""
    read = AgentFile.model_validate({"name": "shop", **file})
    flow = None
    if has_flow:
        flow, problems = read_flow(
            FLOW, default_name=read.name, greeting=read.greeting, transfer=read.transfer
        )
        assert not problems, problems
    return Agent(read, flow, version, Path("shop.yaml"))


class AnyOptions(Options):
    """Options of a made-up provider."""

    base_url: str = ""
    model: str = ""
    plugin: str = ""


class FakeSpeechBrain:
    """A speech brain that is somebody once it was told who; `failure` refuses every call."""

    def __init__(self) -> None:
        self.persona: Persona | None = None
        self.failure: base.TranscriberFailed | Exception | None = None

    def for_agent(self, persona: Persona) -> FakeSpeechBrain:
        self.persona = persona
        return self

    def open(
        self, call: CallFacts, variables: Mapping[str, str]
    ) -> tuple[FakeConversation, base.TranscriberStream]:
        if isinstance(self.failure, Exception):
            raise self.failure
        ear = FakeTranscriber().open(base.Expectation())
        return FakeBrain().open(call, variables), ear


class FixedEndOfTurn:
    """Says that every turn is over."""

    async def probability(self, pcm: base.Pcm) -> float:
        return 1.0


@dataclass
class Providers:
    """Made-up providers: what was opened with which language, what is broken, what was closed.

    Attributes:
        opened: kind, name and language of each, in order.
        broken: kinds and names that cannot be opened.
        closed: how often each was closed.
    """

    opened: list[tuple[str, str, str]] = field(default_factory=list)
    broken: set[tuple[str, str]] = field(default_factory=set)
    closed: Counter[tuple[str, str]] = field(default_factory=Counter)
    voices: dict[str, FakeSynthesiser] = field(default_factory=dict)
    models: dict[str, FakeLanguageModel] = field(default_factory=dict)
    speech_brain: FakeSpeechBrain = field(default_factory=FakeSpeechBrain)

    def registry(self) -> Registry:
        def entry(kind: str, name: str, make: Callable[[str], Any]) -> Entry[Any]:
            def open_it(_options: AnyOptions, language: str, _secrets: Secrets) -> Any:
                if (kind, name) in self.broken:
                    raise ProviderUnavailable(name, "broken by the test", FailureCause.MISSING)
                self.opened.append((kind, name, language))
                part = make(language)

                async def aclose() -> None:
                    self.closed[(kind, name)] += 1

                part.aclose = aclose
                return part

            return Entry(AnyOptions, open_it, needs_key=name != "offline")

        def voice(name: str) -> Callable[[str], FakeSynthesiser]:
            return lambda language: self.voices.setdefault(f"{name} {language}", FakeSynthesiser())

        def model(name: str) -> Callable[[str], FakeLanguageModel]:
            return lambda language: self.models.setdefault(
                f"{name} {language}", FakeLanguageModel()
            )

        names = ("offline", "deepgram", "openai")
        return Registry(
            stt={name: entry("stt", name, lambda _: FakeTranscriber()) for name in names},
            llm={"openai": entry("llm", "openai", model("openai"))},
            tts={name: entry("tts", name, voice(name)) for name in names},
            realtime={"openai": entry("realtime", "openai", lambda _: self.speech_brain)},
            end_of_turn={
                "smart_turn": entry("end_of_turn", "smart_turn", lambda _: FixedEndOfTurn())
            },
        )


@dataclass(frozen=True)
class FixedDefaults:
    """What holds for files that do not say."""

    agent_endpointing_s: float = 0.5
    agent_silence_s: float = 7.0
    agent_max_call_s: float = 3600.0


def make_workshop(providers: Providers, *keys: str, **more: Any) -> Workshop:
    """A workshop with these keys set."""
    secrets = FixedSecrets(**dict.fromkeys(keys, "a key"))
    metrics = ProviderMetrics(CollectorRegistry())
    return Workshop(
        pool=ProviderPool(providers.registry(), secrets),
        breakers=Breakers(metrics, ManualClock()),
        metrics=metrics,
        secrets=secrets,
        defaults=FixedDefaults(),
        **more,
    )


def chains(**kinds: Sequence[str]) -> dict[str, list[str]]:
    """The field `providers` of a file."""
    return {kind: list(names) for kind, names in kinds.items()}
