"""A worker with a bug: whoever asks its agent something ends the call by it."""

from __future__ import annotations

from typing import Any

from services.agent.__main__ import main
from services.agent.call.wits import Wits


def _ask(*_arguments: Any) -> None:
    raise RuntimeError("a bug, made for a test")


if __name__ == "__main__":
    Wits.ask = _ask  # type: ignore[assignment,method-assign] # that is the bug
    main()
