"""A Brain that answers by a language model and an agent's file."""

from __future__ import annotations

from collections.abc import Mapping

from services.agent.agents.file import AgentFile
from services.agent.dialogue.conversation import LanguageConversation
from services.agent.dialogue.prompt import Bounds
from services.agent.providers.base import CallFacts, LanguageModel
from services.agent.tools.toolbox import ToolBox


class LanguageBrain:
    """See Brain.

    Args:
        file: the agent.
        model: answers, unless `models` has one for the language spoken.
        toolbox: the agent's tools; whoever made it closes it.
        models: by language, where the agent's file chooses others.
        bounds: how much of a conversation the model is given.
        phrases: what callers may say, for a recogniser that needs to know.
    """

    def __init__(
        self,
        file: AgentFile,
        model: LanguageModel,
        toolbox: ToolBox,
        *,
        models: Mapping[str, LanguageModel] | None = None,
        bounds: Bounds | None = None,
        phrases: tuple[str, ...] = (),
    ) -> None:
        self._file = file
        self._model = model
        self._toolbox = toolbox
        self._models = dict(models or {})
        self._bounds = bounds if bounds is not None else Bounds()
        self._phrases = phrases

    def open(self, call: CallFacts, variables: Mapping[str, str]) -> LanguageConversation:
        """See Brain."""
        return LanguageConversation(
            self._file,
            lambda language: self._models.get(language, self._model),
            self._toolbox,
            call,
            variables,
            self._bounds,
            phrases=self._phrases,
        )
