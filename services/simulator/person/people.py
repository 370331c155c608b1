"""Who picks up when the cloud dials: outcomes and scripts by number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.simulator.calls import endings
from services.simulator.calls.plan import Outcome
from services.simulator.person.caller import CallerScript, KeyPresses
from services.simulator.person.mix import Attempts, Mix
from services.simulator.person.script import Press, SayText, SayWav, Turn, build_script
from services.simulator.person.scripted_numbers import outcome_of
from services.simulator.person.voice import Speaker

EVERYBODY = "*"
OutcomeName = Literal[
    "answer",
    "machine",
    "busy",
    "reject",
    "no-answer",
    "carrier-no-answer",
    "invalid",
    "carrier-failure",
]
_CODES: dict[str, int] = {
    "answer": 0,
    "machine": 0,
    "busy": endings.BUSY.code,
    "reject": endings.REJECTED.code,
    "no-answer": endings.RANG_OUT.code,  # whatever `after_s`: the ring timeout ends it
    "carrier-no-answer": endings.NO_ANSWER.code,
    "invalid": endings.UNALLOCATED.code,
    "carrier-failure": endings.CARRIER_FAILURE.code,
}

_MIX_PATIENCE_S = 60.0


class PersonBody(BaseModel):
    """A dialled person, as the control routes describe one."""

    model_config = ConfigDict(extra="forbid")

    number: str = Field(
        EVERYBODY,
        max_length=100,
        description="whose telephone; *42 is that of numbers ending in 42, * everybody's else",
    )
    outcome: OutcomeName = "answer"
    after_s: float = Field(1.0, ge=0, le=3600, description="how long it rings before that")
    say: list[str] = Field(default_factory=list, max_length=100)
    wav: list[Path] = Field(default_factory=list, max_length=100, description="said before `say`")
    press: str = ""
    press_at_s: float | None = Field(None, description="None presses after all is said")
    barge_in_at_s: list[float | None] = Field(default_factory=list)
    hangup_after_s: float | None = None
    patience_s: float = Field(10.0, gt=0)
    linger_s: float = Field(1.5, ge=0)
    max_duration_s: float = Field(120.0, gt=0)
    times: int | None = Field(None, ge=1, description="forgotten after so many calls")


@dataclass(frozen=True, slots=True)
class Person:
    """What a dialled telephone does, and what is said into it."""

    outcome: Outcome
    script: CallerScript


class People:
    """Finds the person behind a dialled number.

    Args:
        speaker: says texts.
        say: what people without a script of their own say.
        answer_after_s: how long they let it ring.
        max_call_s: when they hang up at the latest.
    """

    def __init__(
        self, speaker: Speaker, *, say: list[str], answer_after_s: float, max_call_s: float
    ) -> None:
        self._speaker = speaker
        self._default = PersonBody(say=say, after_s=answer_after_s, max_duration_s=max_call_s)
        self._scripted: dict[str, PersonBody] = {}
        self._mix: Mix | None = None
        self._attempts = Attempts()

    def mix(self, mix: Mix | None) -> None:
        """Let a mix say what numbers without a script of their own do; counts begin anew."""
        self._mix = mix
        self._attempts.forget()

    def add(self, person: PersonBody) -> None:
        """Script a person, in the place of an earlier script for the same number."""
        self._scripted[_key(person.number)] = person

    def forget(self) -> None:
        """Forget all scripts and the mix."""
        self._scripted.clear()
        self.mix(None)

    async def who(self, number: str) -> Person:
        """Return who is behind a number.

        A script for it or for how it ends (the longest such ending), else what a mix says, else
        what its last digits say, else the default.

        Raises:
            BadScript: a recording can't be read.
            SpeechError: there is something to say and no engine.
        """
        body = self._take(_key(number)) or self._take(self._ending(number))
        if body is None and self._mix is not None:
            body = self._mixed(self._mix, _key(number))
        if body is None:
            outcome = outcome_of(number, answer_after_s=self._default.after_s)
            return Person(outcome, await self._script(self._take(EVERYBODY) or self._default))
        outcome = Outcome(body.after_s, _CODES[body.outcome], is_machine=body.outcome == "machine")
        script = CallerScript() if outcome.code else await self._script(body)
        return Person(outcome, script)

    def _ending(self, number: str) -> str:
        """Return the key of the longest scripted ending of a number, or one of nobody."""
        key = _key(number)
        endings_of_it = (EVERYBODY + key[start:] for start in range(len(key)))
        return next((ending for ending in endings_of_it if ending in self._scripted), "")

    def _mixed(self, mix: Mix, number: str) -> PersonBody:
        attempt = self._attempts.next_of(number)
        talk_s = mix.answered_for_s(number, attempt)
        return PersonBody.model_validate(
            {
                "outcome": mix.outcome(number, attempt),
                "after_s": mix.ring_s(number, attempt),
                "hangup_after_s": talk_s,
                "max_duration_s": talk_s + _MIX_PATIENCE_S,
            }
        )

    def _take(self, key: str) -> PersonBody | None:
        body = self._scripted.get(key)
        if body is not None and body.times is not None:
            del self._scripted[key]
            if body.times > 1:
                self._scripted[key] = body.model_copy(update={"times": body.times - 1})
        return body

    async def _script(self, body: PersonBody) -> CallerScript:
        turns: list[Turn] = [SayWav(path) for path in body.wav]
        turns += [SayText(text) for text in body.say]
        timed = []
        if body.press and body.press_at_s is None:
            turns.append(Press(body.press))
        elif body.press:
            timed.append(KeyPresses(body.press, at_s=body.press_at_s))
        limits = replace(
            CallerScript(),
            patience_s=body.patience_s,
            linger_s=body.linger_s,
            hangup_at_s=body.hangup_after_s,
            max_duration_s=body.max_duration_s,
        )
        return await build_script(
            turns, self._speaker, barge_ins=body.barge_in_at_s, pressed_at=timed, limits=limits
        )


def _key(number: str) -> str:
    return number.strip().removeprefix("+")
