"""PURE. What settings change in agents' files: the vendors' own examples' names, and trials.

`AGENT_SYSTEM_PROMPT` and `OPENAI_TTS_VOICE` are what people bring along from those examples; they
concern the default agent. `AGENT_STT`, `AGENT_LLM` and `AGENT_TTS` put other providers into every
agent, so that the same files can be tried offline, by stand-ins or through plugins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.agent.agents.file import AgentFile, ProviderChoice, Providers

_CHAINS = ("stt", "llm", "tts")


@dataclass(frozen=True, slots=True)
class Overrides:
    """What to put in place of what the files say; empty: leave it.

    Attributes:
        prompt: of the default agent.
        openai_voice: of the default agent's `openai` speech.
        stt: names of providers, of every agent; likewise `llm`, `tts`.
    """

    prompt: str = ""
    openai_voice: str = ""
    stt: tuple[str, ...] = ()
    llm: tuple[str, ...] = ()
    tts: tuple[str, ...] = ()

    def apply(self, file: AgentFile, *, is_default: bool) -> AgentFile:
        """Return the file as it is to be used."""
        voice = self.openai_voice if is_default else ""
        update: dict[str, Any] = {"providers": self._providers(file.providers, voice)}
        if file.languages:
            update["languages"] = {
                language: localised
                if localised.providers is None
                else localised.model_copy(
                    update={"providers": self._providers(localised.providers, voice)}
                )
                for language, localised in file.languages.items()
            }
        if is_default and self.prompt:
            update["prompt"] = self.prompt
        return file.model_copy(update=update)

    def _providers(self, providers: Providers, voice: str) -> Providers:
        update: dict[str, Any] = {}
        for kind in _CHAINS:
            chain: tuple[ProviderChoice, ...] = getattr(providers, kind)
            names: tuple[str, ...] = getattr(self, kind)
            if names:
                known = {choice.name: choice for choice in reversed(chain)}
                update[kind] = tuple(known.get(n) or ProviderChoice(name=n) for n in names)
        if update:
            update["realtime"] = None  # which would take the place of what was asked for
        if voice:
            chain = update.get("tts", providers.tts)
            update["tts"] = tuple(_with_voice(choice, voice) for choice in chain)
        return providers.model_copy(update=update)


def _with_voice(choice: ProviderChoice, voice: str) -> ProviderChoice:
    if choice.name != "openai":
        return choice
    return choice.model_copy(update={"options": {**choice.options, "voice": voice}})
