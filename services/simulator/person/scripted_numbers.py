"""PURE. Telephone numbers whose last four digits say what happens when they are dialled."""

from __future__ import annotations

from services.simulator.calls.endings import OUTCOMES_BY_CODE
from services.simulator.calls.plan import Outcome
from shared.protocol.call import CallState

MACHINE_CODE = 9100


def outcome_of(number: str, *, answer_after_s: float) -> Outcome:
    """Return what a dialled number does.

    The last four digits are the hang-up cause code of an unanswered end (...3010 is busy, ...6010
    rings out, ...3020 rejects, ...3050 does not exist, ...3080 is a carrier failure); ...9100 is
    answered by a machine; all others by a person.
    """
    digits = "".join(character for character in number if character.isdigit())
    code = int(digits[-4:] or 0)
    if code == MACHINE_CODE:
        return Outcome(answer_after_s, is_machine=True)
    return Outcome(answer_after_s, code=code if code in OUTCOMES_BY_CODE else 0)


def dial_status(number: str) -> str:
    """Return the DialStatus of a `<Dial>` to a number."""
    ending = OUTCOMES_BY_CODE.get(outcome_of(number, answer_after_s=0).code)
    return ending.status.value if ending else CallState.COMPLETED.value
