"""Campaigns as the page is told of them: a small dialer that tests hold the strings of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

RUNNING, PAUSED, READY, FINISHED = (f"c-00000000000{n}" for n in range(1, 5))
_PREFIX = "/console/api/campaigns"
_MOVES = {"start": "running", "pause": "paused", "resume": "running", "cancel": "cancelled"}
_OUTCOMES = ("answered", "no_answer", "busy", "machine", "answered", "failed")


def campaign(campaign_id: str, name: str, state: str, **changes: Any) -> dict[str, Any]:
    """A campaign as the API shows it."""
    return {
        "id": campaign_id,
        "name": name,
        "agent": "appointments",
        "from": "+918000000099",
        "state": state,
        "reason": None,
        "priority": 5,
        "cps": 2.0,
        "concurrency": 20,
        "windows": {"days": {day: [["10:00", "19:00"]] for day in ("mon", "tue", "wed")}},
        "retry": {},
        "pause_rules": {},
        "created_at": (datetime.now(UTC) - timedelta(hours=3)).isoformat(),
        "started_at": None,
        "finished_at": None,
        "total": 0,
        "duplicates": 0,
        "refused": 0,
        "waiting": 0,
        "dialling": 0,
        "in_call": 0,
        "ended": 0,
        "outcomes": {},
        "tries": {},
        "next_due_at": None,
        "dialled_per_minute": 0,
        "estimate_s": None,
        "incomplete": None,
    } | changes


def known() -> dict[str, dict[str, Any]]:
    """A campaign in each state that one looks at."""
    outcomes = {"answered": 6120, "no_answer": 2310, "busy": 840, "machine": 930, "rejected": 260}
    under_way = {
        "total": 25_000,
        "ended": 10_460,
        "outcomes": outcomes,
        "in_call": 14,
        "dialling": 5,
        "waiting": 14_521,
        "dialled_per_minute": 96,
        "estimate_s": 10_900,
        "duplicates": 31,
        "next_due_at": datetime.now(UTC).isoformat(),
    }
    stopped = {
        "reason": "error_rate 0.62",
        "total": 900,
        "ended": 50,
        "waiting": 850,
        "outcomes": {"answered": 12, "no_answer": 7, "failed": 31},
    }
    over = {"total": 400, "ended": 400, "outcomes": {"answered": 290, "no_answer": 110}}
    made = (
        campaign(RUNNING, "Renewals, November", "running", **under_way),
        campaign(PAUSED, "Feedback after service", "paused", **stopped),
        campaign(READY, "Reminders, clinic", "ready", total=120, waiting=120),
        campaign(FINISHED, "Invitations", "finished", **over),
    )
    return {one["id"]: one for one in made}


def row(n: int, call_id: str) -> dict[str, Any]:
    """A row of a campaign; every seventh waits."""
    at = (datetime.now(UTC) - timedelta(minutes=200 - n)).isoformat()
    outcome = None if n % 7 == 0 else _OUTCOMES[n % len(_OUTCOMES)]
    tried = [] if outcome is None else [{"call_id": call_id, "at": at, "outcome": outcome}]
    return {
        "n": n,
        "to": f"+91800001{n:04}",
        "state": "waiting" if outcome is None else "ended",
        "outcome": outcome,
        "attempts": len(tried),
        "call_id": call_id if tried else None,
        "due_at": at,
        "variables": {"name": ("Asha", "Ravi", "Meera", "Dev")[n % 4]},
        "line": n + 1,
        "history": tried,
    }


@dataclass
class Campaigns:
    """What there is, and what the page has sent. Filled by tests, from another thread.

    `pause_s` is how long an upload takes; `refusal` is what it is answered then, `refuses_new` what
    a new campaign is.
    """

    known: dict[str, dict[str, Any]] = field(default_factory=known)
    sent: list[tuple[str, Any]] = field(default_factory=list)
    rows: int = 120
    pause_s: float = 0.0
    refusal: dict[str, Any] | None = None
    refuses_new: dict[str, Any] | None = None
    asked_rows: list[dict[str, str]] = field(default_factory=list)


def campaign_routes(there_now: Callable[[], Campaigns], call_id: str) -> APIRouter:
    """The page's API of campaigns, in the place of the console's own.

    Args:
        there_now: the campaigns there are.
        call_id: the call that all links of rows lead to.
    """
    router = APIRouter(prefix=_PREFIX)

    @router.get("")
    async def many() -> Any:
        return {"campaigns": list(there_now().known.values()), "next": None}

    @router.post("")
    async def make(request: Request) -> Response:
        body = await request.json()
        there_now().sent.append(("make", body))
        if there_now().refuses_new is not None:
            return JSONResponse(there_now().refuses_new, 422)
        new = campaign("c-00000000000a", body["name"], "ready", windows=body["windows"])
        there_now().known[new["id"]] = new
        return JSONResponse(new, 201)

    @router.get("/{campaign_id}")
    async def one(campaign_id: str) -> Any:
        if campaign_id not in there_now().known:
            return JSONResponse({"problem": "No such campaign."}, 404)
        return there_now().known[campaign_id]

    @router.get("/{campaign_id}/rows")
    async def rows(campaign_id: str, request: Request) -> Any:
        query = dict(request.query_params)
        there_now().asked_rows.append(query)
        first, limit = int(query.get("cursor", "0")) + 1, int(query["limit"])
        total = there_now().known[campaign_id]["total"]
        shown = [
            row(n, call_id) for n in range(first, min(first + limit, total + 1, there_now().rows))
        ]
        wanted = query.get("outcome")
        found = [one for one in shown if wanted in {None, one["outcome"]}]
        last = shown[-1]["n"] if shown else 0
        more = last + 1 < min(total, there_now().rows)
        return {"rows": found, "next": str(last) if more else None}

    @router.post("/{campaign_id}/rows")
    async def add(campaign_id: str, request: Request) -> Response:
        text = (await request.body()).decode()
        there_now().sent.append(("rows", (request.query_params["on_bad_row"], text)))
        await asyncio.sleep(there_now().pause_s)
        if there_now().refusal is not None:
            return JSONResponse(there_now().refusal, 422)
        numbered = list(enumerate(text.split("\n")[1:], start=2))
        problem = "to: is too short, too long or otherwise no number there"
        bad = [
            {"line": line, "number": text.split(",")[0], "problem": problem}
            for line, text in numbered
            if text and not text.startswith("+")
        ]
        added = sum(text.startswith("+") for _, text in numbered)
        changed = there_now().known[campaign_id]
        changed["total"] += added
        changed["waiting"] += added
        report = {"added": added, "duplicates": 0, "refused": len(bad), "bad_rows": bad[:100]}
        return JSONResponse(report)

    @router.post("/{campaign_id}/{verb}")
    async def move(campaign_id: str, verb: str, request: Request) -> Any:
        accepts = "accept_incomplete" in request.query_params
        there_now().sent.append((verb, f"{campaign_id} as it is" if accepts else campaign_id))
        reason = "asked" if verb == "pause" else None
        there_now().known[campaign_id] |= {"state": _MOVES[verb], "reason": reason}
        return there_now().known[campaign_id]

    @router.delete("/{campaign_id}")
    async def remove(campaign_id: str) -> Response:
        there_now().sent.append(("remove", campaign_id))
        del there_now().known[campaign_id]
        return Response(status_code=204)

    return router
