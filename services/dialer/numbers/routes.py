"""/v1/do-not-call: the numbers that are never dialled.

Annotations are evaluated here, because FastAPI could not find what they name inside a function.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from services.dialer.desk.body import media_type, read_model
from services.dialer.desk.csv_rows import BadTable, CsvReader, CsvRow
from services.dialer.desk.desk import Desk
from services.dialer.desk.documents import answer_of, body_of, problems
from services.dialer.desk.door import Principal, Scope
from services.dialer.desk.slices import Slices
from services.dialer.desk.upload import CSV, UploadBounds, upload_parts
from services.dialer.errors import InvalidOrder
from services.dialer.numbers.do_not_call import MAX_REASON_CHARS, Barred, DoNotCallList
from services.dialer.numbers.e164 import e164
from services.dialer.problems import Problem, Refused

_BATCH = 500
_BAD_SHOWN = 100
_NUMBER_COLUMNS = ("to", "number", "phone", "phone_number")
_MAX_SHOWN_CHARS = 32
_CURSOR = r"^\+[0-9]{1,15}$"


class NumbersBody(BaseModel):
    """The body of POST /v1/do-not-call."""

    model_config = ConfigDict(extra="forbid", strict=True)

    numbers: list[str] = Field(max_length=2000, description="international form")
    reason: str = Field("", max_length=MAX_REASON_CHARS, pattern=r"^[^\x00-\x1f\x7f]*$")


class BarredView(BaseModel):
    """A number on the list."""

    number: str
    reason: str
    at: str
    by: str = Field(description="the name of the key that put it there")


class BarredPageView(BaseModel):
    """Numbers in their order."""

    numbers: list[BarredView]
    next: str | None = Field(description="cursor of the next page; null: there is none")


class BadNumberView(BaseModel):
    """What was not added."""

    line: int = Field(description="of the text, its header is 1; or its place in the list, from 1")
    number: str | None
    problem: str


class BarredAddedView(BaseModel):
    """What became of numbers."""

    added: int
    already: int = Field(description="they were on the list, or were given twice")
    refused: int
    bad_rows: list[BadNumberView] = Field(description="the first hundred")


_BARRED = {
    "number": "+918000000002",
    "reason": "asked not to be called",
    "at": "2026-11-26T09:00:00+00:00",
    "by": "shop",
}
_ADDED = {"added": 1, "already": 0, "refused": 0, "bad_rows": []}
_TABLE = "number,reason\n+918000000002,asked not to be called\n"


@dataclass(slots=True)
class _Adding:
    """Numbers on their way to the list, some hundreds at a time."""

    numbers: DoNotCallList
    by: str
    at: str
    batch: list[Barred] = field(default_factory=list)
    given: int = 0
    added: int = 0
    bad: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0

    async def take(self, line: int, text: str, reason: str) -> None:
        try:
            number = e164(text, "number")
        except InvalidOrder as exc:
            self.refuse(line, text, str(exc))
            return
        self.given += 1
        self.batch.append(Barred(number, reason[:MAX_REASON_CHARS], self.at, self.by))
        if len(self.batch) == _BATCH:
            await self.send()

    def refuse(self, line: int, text: str | None, problem: str) -> None:
        self.refused += 1
        if len(self.bad) < _BAD_SHOWN:
            shown = None if text is None else text[:_MAX_SHOWN_CHARS]
            self.bad.append({"line": line, "number": shown, "problem": problem})

    async def send(self) -> None:
        self.added += await self.numbers.add(self.batch)
        self.batch.clear()

    def answer(self) -> dict[str, Any]:
        return {
            "added": self.added,
            "already": self.given - self.added,
            "refused": self.refused,
            "bad_rows": self.bad,
        }


def number_routes(
    numbers: DoNotCallList,
    desk: Desk,
    upload: UploadBounds = UploadBounds(),  # noqa: B008 - frozen
) -> APIRouter:
    """Return the routes of the do-not-call list."""
    router = APIRouter(prefix="/v1/do-not-call", tags=["numbers"])
    may_read = desk.door.needs(Scope.NUMBERS_READ)
    may_write = desk.door.needs(Scope.NUMBERS_WRITE)

    @router.post(
        "",
        openapi_extra=body_of(
            NumbersBody,
            {"one": {"numbers": ["+918000000002"], "reason": "asked not to be called"}},
            others={CSV: {"schema": {"type": "string"}, "example": _TABLE}},
        ),
        responses=answer_of(200, BarredAddedView, _ADDED, "What became of them.")
        | problems("not-a-list", "bad-table", "upload-broken", has_body=True),
    )
    async def add_numbers(who: Annotated[Principal, may_write], request: Request) -> dict[str, Any]:
        adding = _Adding(numbers, who.name, datetime.now(UTC).isoformat(timespec="seconds"))
        if media_type(request) == CSV:
            await _read_table(upload_parts(request, upload), adding)
        else:
            body = await read_model(request, NumbersBody, desk.body)
            for place, text in enumerate(body.numbers, 1):
                await adding.take(place, text, body.reason)
        await adding.send()
        return adding.answer()

    @router.get(
        "",
        dependencies=[may_read],
        responses=answer_of(
            200, BarredPageView, {"numbers": [_BARRED], "next": None}, "Numbers in their order."
        )
        | problems(),
    )
    async def list_numbers(
        limit: Annotated[int, Query(ge=1, le=desk.list_max)] = desk.list_default,
        cursor: Annotated[str | None, Query(pattern=_CURSOR)] = None,
    ) -> dict[str, Any]:
        page = await numbers.page(limit + 1, after=cursor)
        shown = page[:limit]
        return {
            "numbers": [entry.to_json() for entry in shown],
            "next": shown[-1].number if len(page) > limit else None,
        }

    @router.get(
        "/{number}",
        dependencies=[may_read],
        responses=answer_of(200, BarredView, _BARRED, "It is on the list.")
        | problems("unknown-number"),
    )
    async def get_number(number: str) -> dict[str, Any]:
        found = await numbers.get(_asked(number))
        if found is None:
            raise Refused(Problem.of("unknown-number"))
        return found.to_json()

    @router.delete(
        "/{number}",
        status_code=204,
        dependencies=[may_write],
        responses=answer_of(204, None, None, "It may be called again.")
        | problems("unknown-number"),
    )
    async def remove_number(number: str) -> None:
        if not await numbers.remove(_asked(number)):
            raise Refused(Problem.of("unknown-number"))

    return router


async def _read_table(parts: AsyncIterator[bytes], adding: _Adding) -> None:
    """Read a table: what was read before it breaks off is on the list, and harms nobody there."""
    reader, slices = CsvReader(), Slices()
    places: tuple[int, int | None] | None = None

    async def take(row: CsvRow) -> None:
        nonlocal places
        if places is None:
            places = _places(row)
            return
        to, reason = places
        if len(row.values) <= max(to, reason or 0):
            adding.refuse(row.line, None, "has fewer values than the header")
            return
        await adding.take(
            row.line, row.values[to], row.values[reason] if reason is not None else ""
        )
        await slices.breathe()

    try:
        async for part in parts:
            slices.begin()
            for row in reader.feed(part):
                await take(row)
        for row in reader.end():
            await take(row)
        if places is None:
            raise BadTable(1, "there is no header")
    except BadTable as exc:
        await adding.send()
        problem = Problem.of("bad-table", str(exc), extra={"line": exc.line, **adding.answer()})
        raise Refused(problem, {"Connection": "close"}) from exc


def _places(header: CsvRow) -> tuple[int, int | None]:
    names = [name.strip().lower() for name in header.values]
    to = next((names.index(name) for name in _NUMBER_COLUMNS if name in names), None)
    if to is None:
        raise BadTable(header.line, f"there is no column {' or '.join(_NUMBER_COLUMNS)}")
    return to, names.index("reason") if "reason" in names else None


def _asked(text: str) -> str:
    """Return a number of a path in E.164, also without its plus.

    Raises:
        Refused: 404: what is no number is on no list.
    """
    try:
        return e164(text if text.startswith("+") else f"+{text.strip()}", "number")
    except InvalidOrder as exc:
        raise Refused(Problem.of("unknown-number")) from exc
