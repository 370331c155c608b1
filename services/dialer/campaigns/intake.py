"""Taking in a list of numbers: read, judged, set aside, and added when all of it is there.

An upload is read to its end before its first row is added. So one that breaks off, that is no
table, or that has bad rows where they are to be refused, adds nothing. From then on rows are added
batch by batch; sending the same list again adds what is missing, because a campaign takes each
number once. Until the last of them is there the campaign is incomplete: it says so, and neither
starts nor finishes.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import msgspec
import structlog

from services.dialer.campaigns.ledger import Ledger
from services.dialer.campaigns.model import AddedRows, CampaignId, ExpectedRows, NewRow
from services.dialer.campaigns.row_rules import BadHeader, BadRow, Columns, RowRules, row_of_json
from services.dialer.campaigns.staging import Stage, try_again
from services.dialer.desk.csv_rows import BadTable, CsvReader, CsvRow
from services.dialer.desk.slices import Slices
from services.dialer.errors import CampaignFull
from services.dialer.problems import Problem, Refused
from shared.bus.base import BusUnavailable
from shared.bus.redis.store import Store

BAD_ROWS_SHOWN: Final = 100
UPLOADS_MAX: Final = 8
"""Lists that one dialer reads at once: each holds one batch of rows."""
_BATCH_ROWS: Final = 250
"""Added at once: some three milliseconds of the loop, which nothing can cut."""
_log = structlog.get_logger(__name__)


class Digest(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes, /) -> None:
        """Add a part."""
        ...

    def hexdigest(self) -> str:
        """Return it as text."""
        ...


@dataclass(slots=True)
class Reading:
    """What was read of an upload: rows set aside, and the bad ones, of which the first are kept.

    `digest` is of its text.
    """

    stage: Stage
    rows: int = 0
    refused: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    digest: Digest = field(default_factory=hashlib.sha256)

    @property
    def expected(self) -> ExpectedRows | None:
        """What a campaign is told before the rows come; None where there are none."""
        return ExpectedRows(self.digest.hexdigest()[:16], self.rows) if self.rows else None


@dataclass(frozen=True, slots=True)
class Filled:
    """What became of the rows that were set aside."""

    added: int
    duplicates: int


class Intake:
    """Takes lists in.

    Args:
        ledger: where rows go.
        store: where they wait until then.
        rows_max: most rows of one list.
    """

    def __init__(self, ledger: Ledger, store: Store, *, rows_max: int = 1_000_000) -> None:
        self._ledger = ledger
        self._store = store
        self._rows_max = rows_max
        self._under_way = 0

    @asynccontextmanager
    async def read_table(
        self, parts: AsyncIterator[bytes], rules: RowRules, *, refuses_bad: bool
    ) -> AsyncIterator[Reading]:
        """Read a table and set its rows aside, for as long as the context lasts.

        Args:
            parts: the text as it comes.
            rules: what each row is held against.
            refuses_bad: whether one bad row spoils the list.

        Raises:
            Refused: it is no table, has too many rows, or bad ones where they are refused; or too
                many lists are being read.
            BusUnavailable: its rows can't be set aside.
        """
        async with self._aside() as reading:
            try:
                await self._read_rows(parts, rules, reading)
            except BadTable as exc:
                problem = Problem.of("bad-table", str(exc), extra={"line": exc.line})
                raise Refused(problem, {"Connection": "close"}) from exc
            _judge(reading, refuses_bad=refuses_bad)
            yield reading

    @asynccontextmanager
    async def read_list(
        self, values: Sequence[msgspec.Raw], rules: RowRules, *, refuses_bad: bool
    ) -> AsyncIterator[Reading]:
        """Set aside rows as JSON has them; the rest is as with `read_table`."""
        async with self._aside() as reading:
            slices, batch = Slices(), list[str]()
            for place, value in enumerate(values, 1):
                reading.digest.update(value)
                await self._take(row_of_json(_decoded(value), place, rules), reading, batch)
                await slices.breathe()
            if batch:
                await reading.stage.put(batch)
            _judge(reading, refuses_bad=refuses_bad)
            yield reading

    async def fill(self, campaign_id: CampaignId, reading: Reading) -> Filled:
        """Add what was set aside to a campaign; until that is done it is incomplete.

        Raises:
            UnknownCampaign, CampaignStands, CampaignFull: as the ledger says; of a campaign that is
                full, or whose state changes meanwhile, a part may have been added.
            BusUnavailable: a part may have been added; the same list may come again.
        """
        expected, added, duplicates, place = reading.expected, 0, 0, 0
        if expected is not None:
            await try_again(partial(self._ledger.expect_rows, campaign_id, expected))
        of_list = expected.name if expected is not None else ""
        async for rows, is_last in reading.stage.batches():
            batch = _Batch(
                rows,
                name=f"{reading.stage.name}-{place}",
                of_list=of_list,
                refused=reading.refused if is_last else 0,
                more_follow=not is_last,
            )
            done = await self._add(campaign_id, batch)
            added, duplicates, place = added + done[0], duplicates + done[1], place + 1
        if not place and reading.refused:
            await self._add(campaign_id, _Batch([], reading.stage.name, "", reading.refused))
        return Filled(added, duplicates)

    async def check_room(self, campaign_id: CampaignId, reading: Reading) -> None:
        """Check that a campaign may have so many rows more, before any is added.

        Raises:
            CampaignFull: it may not; UnknownCampaign, BusUnavailable.
        """
        campaign = await self._ledger.get(campaign_id)
        if campaign.total + reading.rows > self._rows_max:
            raise CampaignFull(campaign_id, self._rows_max)

    async def _add(self, campaign_id: CampaignId, batch: _Batch) -> tuple[int, int]:
        """Add a batch, once, even if its answer is lost."""

        async def add() -> AddedRows:
            return await self._ledger.add_rows(
                campaign_id,
                batch.rows,
                more_follow=batch.more_follow,
                refused=batch.refused,
                batch=batch.name,
                of_list=batch.of_list,
            )

        done = await try_again(add)
        return done.added, len(done.duplicates)

    @asynccontextmanager
    async def _aside(self) -> AsyncIterator[Reading]:
        if self._under_way >= UPLOADS_MAX:
            raise Refused(Problem.of("too-many-uploads", retry_after_s=5), {"Connection": "close"})
        self._under_way += 1
        reading = Reading(Stage(self._store))
        try:
            yield reading
        finally:
            self._under_way -= 1
            try:
                await reading.stage.clear()
            except BusUnavailable as exc:
                _log.warning("upload_left_aside", error=str(exc))

    async def _read_rows(
        self, parts: AsyncIterator[bytes], rules: RowRules, reading: Reading
    ) -> None:
        slices, batch = Slices(), list[str]()
        columns: Columns | None = None
        async for row in _rows_of(parts, slices, reading.digest):
            if columns is None:
                columns = _columns(row)
            else:
                await self._take(columns.judge(row.line, row.values, rules), reading, batch)
                await slices.breathe()
        if columns is None:
            raise BadTable(1, "there is no header")
        if batch:
            await reading.stage.put(batch)

    async def _take(self, row: NewRow | BadRow, reading: Reading, batch: list[str]) -> None:
        if isinstance(row, BadRow):
            reading.refused += 1
            if len(reading.bad_rows) < BAD_ROWS_SHOWN:
                reading.bad_rows.append(row)
            return
        reading.rows += 1
        if reading.rows > self._rows_max:
            raise Refused(
                Problem.of("too-many-rows", f"A campaign has at most {self._rows_max}."),
                {"Connection": "close"},
            )
        batch.append(row.to_text())
        if len(batch) == _BATCH_ROWS:
            await reading.stage.put(batch)
            batch.clear()


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows that are added together, as `Ledger.add_rows` has it."""

    rows: Sequence[NewRow]
    name: str
    of_list: str
    refused: int
    more_follow: bool = False


async def _rows_of(
    parts: AsyncIterator[bytes], slices: Slices, digest: Digest
) -> AsyncIterator[CsvRow]:
    reader = CsvReader()
    async for part in parts:
        digest.update(part)
        slices.begin()
        for row in reader.feed(part):
            yield row
    for row in reader.end():
        yield row


def _decoded(value: msgspec.Raw) -> object:
    """Read one row of a list; what can't be read is no row, as what is no object."""
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return None


def _columns(header: CsvRow) -> Columns:
    try:
        return Columns.of_header(header.values)
    except BadHeader as exc:
        raise BadTable(header.line, str(exc)) from exc


def _judge(reading: Reading, *, refuses_bad: bool) -> None:
    if refuses_bad and reading.refused:
        shown = [row.to_json() for row in reading.bad_rows]
        extra = {"refused": reading.refused, "bad_rows": shown}
        detail = f"{reading.refused} rows are bad; nothing was added."
        raise Refused(Problem.of("bad-rows", detail, extra=extra))
