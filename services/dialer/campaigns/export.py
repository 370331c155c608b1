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

from services.dialer.campaigns.ledger import BATCH_ROWS, Ledger
from services.dialer.campaigns.model import CampaignId, Row, RowPage
from services.dialer.campaigns.progress import time_text
from services.dialer.campaigns.staging import try_again
from services.dialer.desk.slices import Slices

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
