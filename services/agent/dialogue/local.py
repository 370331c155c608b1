"""PURE. What an agent's file says in one of its languages."""

from __future__ import annotations

from dataclasses import dataclass

from services.agent.agents.file import AgentFile, Silence
from services.agent.dialogue.texts import Phrases, phrases_in
from services.agent.providers.base import CallFacts


@dataclass(frozen=True, slots=True)
class LocalTexts:
    """The texts of an agent in one language.

    `prompt_language` is the tag that the model must be told, because the prompt in use was not
    written for this language; empty: it was.
    """

    greeting: str
    prompt: str
    prompt_language: str
    fillers: tuple[str, ...]
    silence: Silence
    phrases: Phrases


def local_texts(file: AgentFile, language: str) -> LocalTexts:
    """Return an agent's texts in a language, its own first, those of the whole file otherwise."""
    local = file.languages.get(language)
    fillers = local.filler if local is not None else None
    silence = local.silence if local is not None else None
    greeting = local.greeting if local is not None else None
    prompt = local.prompt if local is not None else None
    is_own = prompt is not None or language == file.language
    return LocalTexts(
        greeting=greeting if greeting is not None else file.greeting,
        prompt=prompt if prompt is not None else file.prompt,
        prompt_language="" if is_own else language,
        fillers=fillers if fillers is not None else file.turn_taking.filler.texts,
        silence=silence if silence is not None else file.turn_taking.silence,
        phrases=phrases_in(language),
    )


def first_language(file: AgentFile, call: CallFacts) -> str:
    """Return the language a call begins in: the call's where the agent has it, else the agent's."""
    return call.language if call.language in file.languages else file.language
