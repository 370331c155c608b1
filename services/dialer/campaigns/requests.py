"""What requests about campaigns come to, apart from how they are found and documented."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import structlog
from fastapi import Request
from pydantic import BaseModel, ValidationError

from services.dialer.campaigns.bodies import CampaignBody, CampaignPatch, OnBadRow, RowsBody
from services.dialer.campaigns.holidays import NO_HOLIDAYS, Holidays
from services.dialer.campaigns.intake import Intake, Reading
from services.dialer.campaigns.ledger import Ledger
from services.dialer.campaigns.model import (
    Campaign,
    CampaignId,
    CampaignSpec,
    CampaignState,
    Progress,
)
from services.dialer.campaigns.progress import progress_view
from services.dialer.campaigns.row_rules import RowRules
from services.dialer.campaigns.windows import parse_windows
from services.dialer.desk.body import BodyBounds, bad_body, media_type, read_model
from services.dialer.desk.upload import CSV, UploadBounds, upload_parts
from services.dialer.errors import DialerError, InvalidOrder
from services.dialer.numbers.e164 import NumberCheck
from services.dialer.problems import Problem, Refused
from shared.bus.base import BusUnavailable

M = TypeVar("M", bound=BaseModel)
LIST_MAX_BYTES: Final = 1_048_576
"""Of a list of rows in JSON, some ten thousand; longer ones come as a table."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CampaignRules:
    """What campaigns are held against.

    `has_caller`: there is a number to show for campaigns that name none. `list_body` bounds bodies
    of JSON, which are held whole, `upload` tables, which are not.
    """

    has_caller: bool = True
    number_check: NumberCheck = NumberCheck.POSSIBLE
    holidays: Holidays = NO_HOLIDAYS
    list_body: BodyBounds = field(default_factory=lambda: BodyBounds(LIST_MAX_BYTES))
    upload: UploadBounds = field(default_factory=UploadBounds)


class CampaignRequests:
    """Makes campaigns of what people send, and shows them.

    Args:
        ledger: where campaigns are.
        intake: how their rows get there.
        rules: what both are held against.
        now: Unix time.
    """

    def __init__(
        self,
        ledger: Ledger,
        intake: Intake,
        rules: CampaignRules,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._rules = rules
        self._now = now

    @property
    def now_ms(self) -> int:
        """Unix time."""
        return int(self._now() * 1000)

    async def make(
        self, request: Request, options: Mapping[str, Any]
    ) -> tuple[CampaignId, Reading]:
        """Read a new campaign and its rows, and make it when all of them have been read.

        Args:
            request: whose body is JSON with everything, or a table of rows.
            options: of the query, for a table: what the body has otherwise.

        Raises:
            Refused, DialerError, BusUnavailable: there is no such campaign.
        """
        is_table = media_type(request) == CSV
        body = _of_options(options) if is_table else await self._read_list(request, CampaignBody)
        if options and not is_table:
            raise Refused(_bad_query("options of a campaign stand in the body where it is JSON"))
        if body.from_ is None and not self._rules.has_caller:
            raise InvalidOrder("from", "give a caller number, or set FROM_NUMBER")
        spec = body.spec(self._rules.number_check)
        held, refuses_bad = self._row_rules(spec), body.on_bad_row is OnBadRow.REFUSE
        if is_table:
            parts = upload_parts(request, self._rules.upload)
            setting_aside = self._intake.read_table(parts, held, refuses_bad=refuses_bad)
        else:
            setting_aside = self._intake.read_list(body.rows, held, refuses_bad=refuses_bad)
        async with setting_aside as read:
            campaign = await self._ledger.create(spec, now_ms=self.now_ms)
            await self._fill_new(campaign, read)
        if body.start:
            await self._ledger.start(campaign.campaign_id, now_ms=self.now_ms)
        return campaign.campaign_id, read

    async def add(
        self, campaign_id: CampaignId, request: Request, on_bad_row: OnBadRow | None
    ) -> dict[str, Any]:
        """Add rows to a campaign, also to one that runs. Raises as `make`."""
        held = self._row_rules((await self._ledger.get(campaign_id)).spec)
        if media_type(request) == CSV:
            parts = upload_parts(request, self._rules.upload)
            setting_aside = self._intake.read_table(
                parts, held, refuses_bad=on_bad_row is OnBadRow.REFUSE
            )
        else:
            body = await self._read_list(request, RowsBody)
            if on_bad_row is not None:
                raise Refused(_bad_query("on_bad_row stands in the body where it is JSON"))
            refuses_bad = body.on_bad_row is OnBadRow.REFUSE
            setting_aside = self._intake.read_list(body.rows, held, refuses_bad=refuses_bad)
        async with setting_aside as read:
            await self._intake.check_room(campaign_id, read)
            filled = await self._intake.fill(campaign_id, read)
        return {
            "added": filled.added,
            "duplicates": filled.duplicates,
            "refused": read.refused,
            "bad_rows": [row.to_json() for row in read.bad_rows],
        }

    async def change(self, campaign_id: CampaignId, patch: CampaignPatch) -> None:
        """Change what is wanted of a campaign. Raises DialerError, BusUnavailable."""
        changes = patch.changes()
        await self._ledger.patch(campaign_id, lambda spec: replace(spec, **changes))

    async def view(self, campaign_id: CampaignId) -> dict[str, Any]:
        """Return a campaign with its figures. Raises UnknownCampaign, BusUnavailable."""
        return await self._told(await self._ledger.progress(campaign_id))

    async def page(
        self, limit: int, after: CampaignId | None, state: CampaignState | None
    ) -> dict[str, Any]:
        """Return campaigns with their figures, newest first. Raises BusUnavailable."""
        page = await self._ledger.page(limit=limit, after=after, state=state)
        shown = []
        for campaign in page.campaigns:
            try:
                shown.append(await self.view(campaign.campaign_id))
            except DialerError:
                continue  # it was removed meanwhile
        return {"campaigns": shown, "next": page.next_id}

    async def _told(self, progress: Progress) -> dict[str, Any]:
        at, zones = datetime.fromtimestamp(self._now(), UTC), tuple[str, ...]()
        if progress.campaign.state is CampaignState.RUNNING:
            row = await self._ledger.row(progress.campaign.campaign_id, 1)
            zones = row.zones if row is not None else ()
        return progress_view(progress, at, zones=zones, holidays=self._rules.holidays)

    async def _fill_new(self, campaign: Campaign, read: Reading) -> None:
        """Fill a campaign that nobody knows of yet; where that fails there is none."""
        try:
            await self._intake.fill(campaign.campaign_id, read)
        except (DialerError, BusUnavailable):
            try:
                await self._ledger.remove(campaign.campaign_id)
            except (DialerError, BusUnavailable) as exc:
                _log.warning(
                    "campaign_left_half_filled", campaign=campaign.campaign_id, error=str(exc)
                )
            raise

    async def _read_list(self, request: Request, kind: type[M]) -> M:
        if media_type(request) != "application/json":
            raise Refused(Problem.of("not-a-list"))
        return await read_model(request, kind, self._rules.list_body)

    def _row_rules(self, spec: CampaignSpec) -> RowRules:
        return RowRules(parse_windows(spec.windows), spec.variables, self._rules.number_check)


def _of_options(options: Mapping[str, Any]) -> CampaignBody:
    try:
        return CampaignBody.model_validate(dict(options))
    except ValidationError as exc:
        raise Refused(bad_body(exc)) from exc


def _bad_query(detail: str) -> Problem:
    return Problem.of("invalid-request", detail)
