"""A worker with a bug: whoever asks its agent something ends the call by it."""

from __future__ import annotations

from typing import Any

from services.agent.__main__ import main
from services.agent.providers.chain.brain import FallbackConversation


def _reply(*_arguments: Any, **_options: Any) -> Any:
    raise RuntimeError("a bug, made for a test")


if __name__ == "__main__":
    FallbackConversation.reply = _reply  # type: ignore[method-assign] # that is the bug
    main()
