"""What requests about campaigns come to, apart from how they are found and documented."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
import structlog
from fastapi import Request
from pydantic import BaseModel, ValidationError

from services.dialer.calls.idempotency import Answered, Begun, Idempotency
from services.dialer.campaigns.bodies import CampaignBody, CampaignPatch, OnBadRow, RowsBody
from services.dialer.campaigns.holidays import NO_HOLIDAYS, Holidays
from services.dialer.campaigns.intake import Digest, Intake, Reading
from services.dialer.campaigns.ledger import Ledger, new_campaign_id
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
from services.dialer.desk.body import BodyBounds, bad_body, media_type, read_body
from services.dialer.desk.door import Principal
from services.dialer.desk.upload import CSV, UploadBounds, upload_parts
from services.dialer.errors import DialerError, InvalidOrder, UnknownCampaign
from services.dialer.numbers.e164 import NumberCheck
from services.dialer.problems import Problem, Refused
from shared.bus.base import BusUnavailable
from shared.protocol.call import CallId

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


@dataclass(frozen=True, slots=True)
class MadeCampaign:
    """A new campaign, and how its request is answered; `is_replayed`: as it was before."""

    campaign_id: CampaignId
    body: Mapping[str, Any]
    is_replayed: bool = False


class CampaignRequests:
    """Makes campaigns of what people send, and shows them.

    Args:
        ledger: where campaigns are.
        intake: how their rows get there.
        rules: what both are held against.
        keys: what the keys of requests were used for.
        now: Unix time.
    """

    def __init__(
        self,
        ledger: Ledger,
        intake: Intake,
        rules: CampaignRules,
        keys: Idempotency,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._rules = rules
        self._keys = keys
        self._now = now

    @property
    def now_ms(self) -> int:
        """Unix time."""
        return int(self._now() * 1000)

    async def make(
        self, request: Request, options: Mapping[str, Any], who: Principal, key: str | None
    ) -> MadeCampaign:
        """Read a new campaign and its rows, and make it when all of them have been read.

        Args:
            request: whose body is JSON with everything, or a table of rows.
            options: of the query, for a table: what the body has otherwise.
            who: asks.
            key: names the request: once more the same is answered the same, and made once.

        Raises:
            Refused, DialerError, BusUnavailable: there is no such campaign; of a request with a key
                there may be one that is not started, which the same request completes.
        """
        is_table, rows = media_type(request) == CSV, list[msgspec.Raw]()
        digest = hashlib.sha256(repr(sorted(options.items())).encode())
        if is_table:
            body = _of_options(options)
        else:
            body, rows = await self._read_list(request, CampaignBody, digest)
        if options and not is_table:
            raise Refused(_bad_query("options of a campaign stand in the body where it is JSON"))
        if body.from_ is None and not self._rules.has_caller:
            raise InvalidOrder("from", "give a caller number, or set FROM_NUMBER")
        spec = body.spec(self._rules.number_check)
        held, refuses_bad = self._row_rules(spec), body.on_bad_row is OnBadRow.REFUSE
        if is_table:
            parts = _digested(upload_parts(request, self._rules.upload), digest)
            setting_aside = self._intake.read_table(parts, held, refuses_bad=refuses_bad)
        else:
            setting_aside = self._intake.read_list(rows, held, refuses_bad=refuses_bad)
        async with setting_aside as read:
            if key is None:
                return await self._make(spec, read, None, starts=body.start)
            fallback = CallId(new_campaign_id())
            begun = await self._keys.begin(who, key, digest.hexdigest(), fallback)
            if isinstance(begun, Answered):
                return await self._replayed(begun)
            return await self._make(spec, read, begun, starts=body.start)

    async def _replayed(self, answered: Answered) -> MadeCampaign:
        campaign_id = CampaignId(answered.call_id)
        try:
            await self._ledger.get(campaign_id)
        except UnknownCampaign as exc:  # making it anew might dial its numbers a second time
            detail = f"Its campaign {campaign_id} has been forgotten."
            raise Refused(Problem.of("key-used-otherwise", detail)) from exc
        return MadeCampaign(campaign_id, answered.body, is_replayed=True)

    async def _make(
        self, spec: CampaignSpec, read: Reading, begun: Begun | None, *, starts: bool
    ) -> MadeCampaign:
        """Make a campaign of what was read; one that somebody began before is completed."""
        named = CampaignId(begun.call_id) if begun is not None else None
        try:
            campaign = await self._ledger.create(
                spec, now_ms=self.now_ms, campaign_id=named, rows=read.expected
            )
            campaign_id = campaign.campaign_id
            if campaign.state is CampaignState.READY:  # who started it had filled it
                await self._fill_new(campaign, read, is_forgotten=begun is None)
                if starts:
                    await self._ledger.start(campaign_id, now_ms=self.now_ms)
            shown = {**await self.view(campaign_id), "bad_rows": _shown(read)}
            if begun is not None:
                await self._keys.finish(begun, 201, shown)
        except (DialerError, BusUnavailable):
            if begun is not None:
                await self._keys.release(begun)
            raise
        return MadeCampaign(campaign_id, shown)

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
            body, rows = await self._read_list(request, RowsBody)
            if on_bad_row is not None:
                raise Refused(_bad_query("on_bad_row stands in the body where it is JSON"))
            refuses_bad = body.on_bad_row is OnBadRow.REFUSE
            setting_aside = self._intake.read_list(rows, held, refuses_bad=refuses_bad)
        async with setting_aside as read:
            await self._intake.check_room(campaign_id, read)
            filled = await self._intake.fill(campaign_id, read)
        return {
            "added": filled.added,
            "duplicates": filled.duplicates,
            "refused": read.refused,
            "bad_rows": _shown(read),
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

    async def _fill_new(self, campaign: Campaign, read: Reading, *, is_forgotten: bool) -> None:
        """Fill a campaign that nobody knows of yet; where that fails it may be forgotten."""
        try:
            await self._intake.fill(campaign.campaign_id, read)
        except (DialerError, BusUnavailable):
            if not is_forgotten:
                raise
            try:
                await self._ledger.remove(campaign.campaign_id)
            except (DialerError, BusUnavailable) as exc:
                _log.warning(
                    "campaign_left_half_filled", campaign=campaign.campaign_id, error=str(exc)
                )
            raise

    async def _read_list(
        self, request: Request, kind: type[M], digest: Digest | None = None
    ) -> tuple[M, list[msgspec.Raw]]:
        """Read a body of JSON, its rows apart: they are looked at one by one, in slices."""
        if media_type(request) != "application/json":
            raise Refused(Problem.of("not-a-list"))
        content = await read_body(request, self._rules.list_body)
        if digest is not None:
            digest.update(content)
        try:
            members = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise Refused(Problem.of("invalid-request", "body: must be an object")) from exc
        try:
            rows = msgspec.json.decode(members.get("rows", b"[]"), type=list[msgspec.Raw])
        except (msgspec.DecodeError, RecursionError) as exc:
            raise Refused(Problem.of("invalid-request", "rows: must be a list")) from exc
        rest = members if "rows" not in members else members | {"rows": msgspec.Raw(b"[]")}
        try:
            return kind.model_validate_json(msgspec.json.encode(rest)), rows
        except ValidationError as exc:
            raise Refused(bad_body(exc)) from exc

    def _row_rules(self, spec: CampaignSpec) -> RowRules:
        return RowRules(parse_windows(spec.windows), spec.variables, self._rules.number_check)


def _of_options(options: Mapping[str, Any]) -> CampaignBody:
    try:
        return CampaignBody.model_validate(dict(options))
    except ValidationError as exc:
        raise Refused(bad_body(exc)) from exc


async def _digested(parts: AsyncIterator[bytes], digest: Digest) -> AsyncIterator[bytes]:
    async for part in parts:
        digest.update(part)
        yield part


def _shown(read: Reading) -> list[dict[str, Any]]:
    return [row.to_json() for row in read.bad_rows]


def _bad_query(detail: str) -> Problem:
    return Problem.of("invalid-request", detail)
