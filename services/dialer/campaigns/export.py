"""A campaign's rows as CSV, page by page: however many there are, one page is held.

No value begins with a sign that a spreadsheet takes for a formula, but for the plus of a number:
what people wrote (variables) stands as JSON within braces.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable
from typing import Final

import structlog
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.dialer.campaigns.ledger import BATCH_ROWS, Ledger
from services.dialer.campaigns.model import CampaignId, Row, RowPage
from services.dialer.campaigns.progress import time_text
from services.dialer.campaigns.staging import try_again
from services.dialer.desk.slices import Slices
from services.dialer.desk.upload import CSV
from services.dialer.errors import UnknownCampaign
from shared.bus.base import BusUnavailable

_log = structlog.get_logger(__name__)

COLUMNS: Final = (
    *("row", "line", "to", "agent", "state", "outcome", "attempts", "last_call_id", "last_try_at"),
    *("next_try_at", "tries", "variables"),
)


class Export:
    """The results of a campaign.

    Args:
        ledger: where its rows are.
        campaign_id: whose.
        first: its first page, so that whoever asks for it knows beforehand that there is one.
    """

    def __init__(self, ledger: Ledger, campaign_id: CampaignId, first: RowPage) -> None:
        self._ledger = ledger
        self._campaign_id = campaign_id
        self._first = first

    @classmethod
    async def begin(cls, ledger: Ledger, campaign_id: CampaignId) -> Export:
        """Read the first page.

        Raises:
            UnknownCampaign: there is none.
            BusUnavailable: it can't be read.
        """
        return cls(ledger, campaign_id, await ledger.rows(campaign_id, limit=BATCH_ROWS))

    async def parts(self) -> AsyncIterator[str]:
        """Yield the text, header first.

        Raises:
            BusUnavailable, UnknownCampaign: it ends here, and whoever reads it has to notice.
        """
        yield ",".join(COLUMNS) + "\r\n"
        page, slices = self._first, Slices()
        while True:
            slices.begin()
            written = io.StringIO()
            writer = csv.writer(written)
            for row in page.rows:
                writer.writerow(cells(row))
                await slices.breathe()
            yield written.getvalue()
            after = page.next_n
            if after is None:
                return
            page = await self._page(after)

    async def _page(self, after: int) -> RowPage:
        return await try_again(
            lambda: self._ledger.rows(self._campaign_id, limit=BATCH_ROWS, after=after)
        )


class ExportResponse(StreamingResponse):
    """An export as it is read. Where that fails the connection breaks: a part is not the whole."""

    def __init__(self, export: Export, campaign_id: CampaignId) -> None:
        name = f'attachment; filename="{campaign_id}.csv"'
        super().__init__(export.parts(), media_type=CSV, headers={"Content-Disposition": name})
        self._campaign_id = campaign_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        except (BusUnavailable, UnknownCampaign) as exc:
            _log.warning("results_broken_off", campaign=self._campaign_id, error=str(exc))


def cells(row: Row) -> Iterable[str]:
    """Return a row's values, in the order of COLUMNS."""
    tries = " ".join(f"{tried.outcome}@{time_text(tried.at_ms)}" for tried in row.history)
    return (
        str(row.n),
        str(row.line or ""),
        row.to_number,
        row.agent or "",
        row.state.value,
        row.outcome.value if row.outcome is not None else "",
        str(row.attempts),
        row.call_id or "",
        (time_text(row.history[-1].at_ms) or "") if row.history else "",
        time_text(row.due_ms) or "",
        tries,
        json.dumps(dict(row.variables), ensure_ascii=False) if row.variables else "",
    )
