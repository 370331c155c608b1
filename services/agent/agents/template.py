"""PURE. The names in braces that an agent's texts may hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set

from services.agent.agents.faults import did_you_mean

PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)\}")
CALL_FACTS = frozenset(("call.from", "call.to", "call.id"))
FREE = ("metadata.", "variables.")
"""What begins names that a call brings, whichever it likes."""
SECRET = "secret."  # noqa: S105 - the word that marks one, not one


def unknown_names(text: str, known: Set[str] = frozenset()) -> Iterator[str]:
    """Yield what is wrong with each name in braces that a text for a caller or a model holds.

    Args:
        text: of a prompt, a greeting, a flow.
        known: names besides the facts of the call, `metadata.x` and `variables.x`.
    """
    for name in dict.fromkeys(PLACEHOLDER.findall(text)):
        if name.startswith(SECRET):
            yield f"{{{name}}}: secrets go into HTTP tools alone"
        elif not (name in known or name in CALL_FACTS or _is_free(name)):
            likely = did_you_mean(name, {*known, *CALL_FACTS, "metadata.x", "variables.x"})
            yield f"{{{name}}} is nothing that can be filled in{likely}"


def _is_free(name: str) -> bool:
    return name.startswith(FREE) and name not in FREE
