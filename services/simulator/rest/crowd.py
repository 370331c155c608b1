"""Routes that the real cloud does not have: who picks up, one number at a time or by shares.

They need no credentials; the simulator listens on loopback unless told otherwise.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from services.simulator.person.mix import Mix
from services.simulator.person.people import OutcomeName, PersonBody
from services.simulator.rest.state import rest_state

crowd = APIRouter(prefix="/simulator")
Share = Annotated[float, Field(ge=0, le=1_000_000)]
Seconds = Annotated[float, Field(ge=0, le=3600)]


class MixBody(BaseModel):
    """People by shares."""

    model_config = ConfigDict(extra="forbid")

    shares: dict[OutcomeName, Share] = Field(
        description='what share does what, as {"answer": 0.4, "busy": 0.2, "carrier-no-answer": 1}'
    )
    after_s: tuple[Seconds, Seconds] = Field((0.1, 0.5), description="they let it ring so long")
    talk_s: tuple[Seconds, Seconds] = Field((0.3, 1.5), description="and hang up so long after")
    machine_s: tuple[Seconds, Seconds] = Field((6.0, 8.0), description="the same of machines")
    seed: int = 1


@crowd.post("/people")
async def script_person(person: PersonBody, request: Request) -> dict[str, str]:
    """Say who picks up when a number is dialled, and what happens then."""
    rest_state(request).people.add(person)
    return {"number": person.number, "outcome": person.outcome}


@crowd.post("/mix")
async def mix_people(body: MixBody, request: Request) -> dict[str, Any]:
    """Let chance say what every number does that has no script of its own, the same each time."""
    shares = {str(name): share for name, share in body.shares.items()}
    total = sum(shares.values())
    mix = Mix(
        shares,
        after_s=body.after_s,
        talk_s=body.talk_s,
        machine_s=body.machine_s,
        seed=body.seed,
    )
    rest_state(request).people.mix(mix if total else None)
    return {"shares": {name: share / total for name, share in shares.items()} if total else {}}
