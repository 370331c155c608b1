"""Makes agents of their files: chains of providers, tools, voices, and what is said in advance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from services.agent.agents.file import AgentFile, ProviderChoice, Providers
from services.agent.agents.load import Agent
from services.agent.agents.rules import Defaults, localise, operator_number, to_turn_taking
from services.agent.company.announcement import with_announcement
from services.agent.company.cast import Cast, Tongue
from services.agent.company.provider_pool import ProviderPool, Taken
from services.agent.dialogue.brain import LanguageBrain
from services.agent.dialogue.persona import make_persona
from services.agent.providers import base
from services.agent.providers.chain.brain import FallbackBrain
from services.agent.providers.chain.limits import ChainLimits
from services.agent.providers.chain.link import Breakers, Link
from services.agent.providers.chain.model import FallbackModel
from services.agent.providers.chain.speech_brain import GuardedSpeech
from services.agent.providers.chain.synthesiser import FallbackSynthesiser
from services.agent.providers.chain.transcriber import FallbackTranscriber
from services.agent.providers.errors import FailureCause, ProviderError, ProviderUnavailable
from services.agent.providers.names import Kind
from services.agent.providers.offline.flow import Flow, FlowBrain
from services.agent.providers.persona import Persona
from services.agent.providers.registry import Secrets
from services.agent.speech.phone_speech import PhoneSpeech
from services.agent.speech.shared_speech import SharedSpeech
from services.agent.speech.speech_record import voice_key
from services.agent.tools.toolbox import ToolBox
from services.agent.turn.rules import TurnTaking
from shared.metrics.catalogue import ProviderMetrics

_log = structlog.get_logger(__name__)
_OFFLINE = "offline"
_PREPARE_S = 20.0


class NamelessBrain(base.SpeechBrain, Protocol):
    """A speech brain as the registry makes it: nobody yet."""

    def for_agent(self, persona: Persona) -> base.SpeechBrain:
        """Return it as an agent."""
        ...


@dataclass(frozen=True, slots=True)
class Workshop:
    """What casts are made with.

    Attributes:
        pool: the worker's providers.
        breakers: theirs.
        metrics: theirs.
        secrets: of tools.
        defaults: for files that do not say.
        shared: sentences that the workers share; None: each for itself.
        last_resort: speaks what no vendor can; None: nobody does.
        tools_folder: where the modules of Python tools are.
        has_recordings: whether calls are recorded where the files say so.
    """

    pool: ProviderPool
    breakers: Breakers
    metrics: ProviderMetrics
    secrets: Secrets
    defaults: Defaults
    shared: SharedSpeech | None = None
    last_resort: base.Synthesiser | None = None
    tools_folder: Path | None = None
    has_recordings: bool = False


class Production:
    """A cast and what it was made of; `aclose` gives that back.

    Attributes:
        agent: whose.
        cast: ready to take calls.
    """

    def __init__(self, agent: Agent, cast: Cast, stack: AsyncExitStack) -> None:
        self.agent = agent
        self.cast = cast
        self._stack = stack

    async def aclose(self) -> None:
        """Give back what nobody else uses; no call may be going on."""
        await self._stack.aclose()


async def produce(agent: Agent, workshop: Workshop) -> Production:
    """Make an agent ready to take calls; its fixed sentences are spoken in advance.

    Raises:
        ProviderError: nobody of a chain can be had.
        ToolUnusable: a tool cannot be made.
    """
    spoken = with_announcement(agent) if workshop.has_recordings else agent
    async with AsyncExitStack() as stack:
        maker = _Maker(spoken, workshop, stack)
        cast = await maker.cast()
        await _prepare(cast, spoken.flow)
        return Production(agent, cast, stack.pop_all())


@asynccontextmanager
async def open_brain(
    agent: Agent, workshop: Workshop, toolbox: ToolBox
) -> AsyncIterator[base.Brain]:
    """Make an agent's brain alone, for whoever needs neither ears nor voice.

    Raises:
        ProviderUnavailable: nobody can be had.
    """
    async with AsyncExitStack() as stack:
        languages = (agent.file.language, *agent.file.languages)
        yield await _Maker(agent, workshop, stack).brain(toolbox, languages)


async def _prepare(cast: Cast, flow: Flow | None) -> None:
    """Speak what is always the same before the first caller waits for it."""
    for language, tongue in cast.tongues.items():
        try:
            async with asyncio.timeout(_PREPARE_S):
                texts = _fixed_texts(localise(cast.file, language), tongue.rules)
                if flow is not None and language == cast.file.language:
                    texts += [*flow.greeting, *flow.farewell]
                # What holds facts of a call is different each time.
                await tongue.speech.prepare([text for text in texts if text and "{" not in text])
        except TimeoutError:
            _log.warning("speech_not_prepared_in_time", agent=cast.file.name, language=language)


def _fixed_texts(file: AgentFile, rules: TurnTaking) -> list[str]:
    taking = file.turn_taking
    return [
        *(file.failure.apology, *taking.filler.texts, taking.time_limit, file.greeting),
        *(*taking.silence.prompts, taking.silence.goodbye, file.goodbye, file.machine.message),
        rules.failure.transfer_failed if file.transfer else "",
    ]


class _Maker:
    """Makes one agent's parts; what it takes is given back by the stack."""

    def __init__(self, agent: Agent, workshop: Workshop, stack: AsyncExitStack) -> None:
        self._agent = agent
        self._file = agent.file
        self._workshop = workshop
        self._stack = stack
        self._limits = ChainLimits(**agent.file.limits.model_dump())

    async def cast(self) -> Cast:
        tongues = {self._file.language: await self._tongue(self._file.language)}
        for language in self._file.languages:
            try:
                tongues[language] = await self._tongue(language)
            except ProviderUnavailable as exc:
                _log.warning("language_left_out", agent=self._file.name, error=str(exc))
        self._file = _speaking(self._file, tongues)
        toolbox = ToolBox.build(
            self._file, self._workshop.secrets, python_folder=self._workshop.tools_folder
        )
        self._stack.push_async_callback(toolbox.aclose)
        own = self._file.providers
        return Cast(
            file=self._file,
            version=self._agent.version,
            tongues=tongues,
            brain=await self.brain(toolbox, tuple(tongues)),
            speech_brain=await self._speech_brain(own.realtime, toolbox),
            end_of_turn=await self._end_of_turn(own.end_of_turn),
        )

    # --- providers ---------------------------------------------------------------------------

    async def _take(
        self, kind: Kind, choices: Sequence[ProviderChoice], language: str
    ) -> list[Taken]:
        """Take those of a chain that can be had.

        Raises:
            ProviderUnavailable: none can.
        """
        pool, taken = self._workshop.pool, []
        problems = []
        for choice in choices:
            if not pool.has_key(kind, choice):
                problems.append(f"{choice.name}: no key")
                continue
            try:
                found = await pool.take(kind, choice, language)
            except ProviderError as exc:
                _log.warning("provider_left_out", kind=kind, agent=self._file.name, error=str(exc))
                problems.append(str(exc))
                continue
            self._stack.push_async_callback(pool.give_back, found.key)
            taken.append(found)
        if not taken:
            detail = f"nobody can be had for {self._file.name}: {'; '.join(problems)}"
            raise ProviderUnavailable(kind, detail, FailureCause.MISSING)
        return taken

    async def _tongue(self, language: str) -> Tongue:
        file = localise(self._file, language)
        breakers = self._workshop.breakers
        ears = await self._take("stt", _heard(file.providers, language), language)
        voices = await self._take("tts", file.providers.tts, language)
        speech = PhoneSpeech(
            FallbackSynthesiser(_links(voices), self._limits, breakers),
            voice_key=voice_key(voices[0].name, {"made": voices[0].key}, language),
            shared=self._workshop.shared,
            metrics=self._workshop.metrics,
            last_resort=self._workshop.last_resort,
            shares_repeats=file.data.keep_text and not file.data.redact,
        )
        self._stack.push_async_callback(speech.aclose)
        return Tongue(
            FallbackTranscriber(_links(ears), self._limits, breakers),
            speech,
            to_turn_taking(self._file, self._workshop.defaults, language),
        )

    async def brain(self, toolbox: ToolBox, languages: Sequence[str]) -> base.Brain:
        brains: list[Link[base.Brain]] = []
        models = {}
        accounts: list[str] = []
        for language in languages:
            chain = localise(self._file, language).providers.llm
            wanted = [choice for choice in chain if choice.name != _OFFLINE]
            wanted = [choice for choice in wanted if self._workshop.pool.has_key("llm", choice)]
            if not wanted:
                continue
            try:
                found = await self._take("llm", wanted, language)
            except ProviderUnavailable as exc:
                _log.warning("models_left_out", agent=self._file.name, error=str(exc))
                continue
            accounts += [one.account for one in found]
            models[language] = FallbackModel(_links(found), self._limits, self._workshop.breakers)
        own = models.get(self._file.language)
        if own is not None:
            brain = LanguageBrain(
                self._greeted(), own, toolbox, models=models, phrases=_phrases(self._agent.flow)
            )
            # Agents that ask the same servers share a breaker; another agent's trouble is its own.
            brains.append(Link("llm", brain, account=" ".join(accounts)))
        is_offline = any(choice.name == _OFFLINE for choice in self._file.providers.llm)
        if is_offline and self._agent.flow is not None:
            flow = FlowBrain(
                self._agent.flow,
                operator_number=operator_number(self._file),
                transfers=self._file.transfer,
                is_greeting_interruptible=self._file.greeting_interruptible,
            )
            brains.append(Link(_OFFLINE, flow))
        if not brains:
            detail = f"nobody can be had for {self._file.name}: no model, and there is no flow"
            raise ProviderUnavailable("llm", detail, FailureCause.MISSING)
        if len(brains) == 1:
            return brains[0].part
        return FallbackBrain(brains, self._limits, self._workshop.breakers)

    def _greeted(self) -> AgentFile:
        """The file with the greeting of its flow, where it has none of its own."""
        flow = self._agent.flow
        if self._file.greeting or flow is None or not flow.greeting:
            return self._file
        return self._file.model_copy(update={"greeting": flow.greeting[0]})

    async def _speech_brain(
        self, choice: ProviderChoice | None, toolbox: ToolBox
    ) -> base.SpeechBrain | None:
        if choice is None or not self._workshop.pool.has_key("realtime", choice):
            return None
        try:
            (taken,) = await self._take("realtime", [choice], self._file.language)
        except ProviderUnavailable as exc:
            # Ears, brain and voice are there in its place.
            _log.warning("speech_brain_left_out", agent=self._file.name, error=str(exc))
            return None
        nameless: NamelessBrain = taken.part
        brain = nameless.for_agent(make_persona(self._greeted(), toolbox))
        link = Link(taken.name, brain, taken.account)
        return GuardedSpeech(link, self._limits, self._workshop.breakers)

    async def _end_of_turn(self, choice: ProviderChoice | None) -> base.EndOfTurn | None:
        if choice is None:
            return None
        try:
            (taken,) = await self._take("end_of_turn", [choice], self._file.language)
        except ProviderUnavailable as exc:
            # Silence alone decides then; nobody is worse off than without the line.
            _log.warning("end_of_turn_left_out", agent=self._file.name, error=str(exc))
            return None
        model: base.EndOfTurn = taken.part
        return model


def _speaking(file: AgentFile, tongues: Collection[str]) -> AgentFile:
    """The file with those languages alone that somebody hears and speaks."""
    languages = {name: part for name, part in file.languages.items() if name in tongues}
    if len(languages) == len(file.languages):
        return file
    has_choice = bool(languages.keys() - {file.language})
    tools = tuple(tool for tool in file.tools if tool != "switch_language" or has_choice)
    return file.model_copy(update={"languages": languages, "tools": tools})


def _heard(providers: Providers, language: str) -> Sequence[ProviderChoice]:
    """The recognisers of a language: the offline one knows English alone and is left out."""
    if language.partition("-")[0].lower() == "en":
        return providers.stt
    others = tuple(choice for choice in providers.stt if choice.name != _OFFLINE)
    return others or providers.stt


def _phrases(flow: Flow | None) -> tuple[str, ...]:
    """What the offline recogniser listens for while a language model has the talk."""
    if flow is None:
        return ()
    return tuple(p for intent in flow.intents(flow.steps[0]) for p in intent.phrases)


def _links(taken: Sequence[Taken]) -> list[Link[Any]]:
    return [Link(one.name, one.part, one.account, one.name == _OFFLINE) for one in taken]
