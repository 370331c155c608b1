"""What one call has to itself, for those who each see to one side of it.

`call.py` makes it; `performer`, `incoming`, `rounds` and `ending` take from it what they deal with.
"""

from __future__ import annotations

from dataclasses import dataclass

from structlog.stdlib import BoundLogger

from services.agent.after_call.aftermath import Aftermath
from services.agent.call.guard import Guard
from services.agent.call.keeper import Keeper
from services.agent.call.line import Line
from services.agent.call.parts import Parts
from services.agent.call.quiet import Quiet
from services.agent.call.witnesses import Witnesses
from services.agent.company.cast import Cast
from services.agent.providers.base import CallFacts
from services.agent.turn.session import Session
from shared.runtime.tasks import TaskOwner


@dataclass(frozen=True, slots=True)
class Belongings:
    """One call's.

    Attributes:
        parts: what it shares with the worker's other calls.
        cast: who takes it.
        facts: who talks with whom.
        log: says in each line which call it is about.
        owner: of its tasks.
        session: the conversation.
        line: the way to its gateway.
        witnesses: who take note of it.
        keeper: writes its snapshots.
        guard: what goes wrong in it.
        quiet: silence that the caller waits in.
        aftermath: what is left when it is over.
    """

    parts: Parts
    cast: Cast
    facts: CallFacts
    log: BoundLogger
    owner: TaskOwner
    session: Session
    line: Line
    witnesses: Witnesses
    keeper: Keeper
    guard: Guard
    quiet: Quiet
    aftermath: Aftermath
