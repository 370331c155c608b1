"""PURE. How far a campaign is and when it will be done, as the API tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from services.dialer.campaigns.holidays import NO_HOLIDAYS, Holidays
from services.dialer.campaigns.model import Campaign, CampaignState, Incomplete, Progress, Row
from services.dialer.campaigns.windows import Calendar, parse_windows

_MINUTE_S = 60.0
_FEW_ENDED = 20


def progress_view(
    progress: Progress,
    now_utc: datetime,
    *,
    zones: tuple[str, ...] = (),
    holidays: Holidays = NO_HOLIDAYS,
) -> dict[str, Any]:
    """Return a campaign with its figures.

    Args:
        progress: as counted.
        now_utc: the time.
        zones: where its numbers are, for the estimate: those of one of its rows will do.
        holidays: of the installation.
    """
    campaign = progress.campaign
    end = estimated_end(progress, now_utc, zones, holidays)
    return {
        **campaign_fields(campaign),
        "waiting": progress.waiting + progress.leased,
        "dialling": progress.open_rows - progress.talking,
        "in_call": progress.talking,
        "ended": progress.ended,
        "outcomes": {outcome.value: count for outcome, count in progress.outcomes.items()},
        "tries": {outcome.value: count for outcome, count in progress.tries.items()},
        "next_due_at": _next_due(progress, now_utc),
        "dialled_per_minute": progress.dialled_last_minute,
        "incomplete": _incomplete(progress.incomplete),
        "estimate_s": None if end is None else round((end - now_utc).total_seconds()),
    }


def campaign_fields(campaign: Campaign) -> dict[str, Any]:
    """Return what a campaign is, without what is counted of its rows."""
    spec = campaign.spec
    return {
        "id": campaign.campaign_id,
        "name": spec.name,
        "agent": spec.agent,
        "from": spec.from_number,
        "state": campaign.state.value,
        "reason": campaign.reason or None,
        "priority": spec.priority,
        "cps": spec.cps,
        "concurrency": spec.concurrency,
        "windows": dict(spec.windows),
        "retry": spec.retry.to_json(),
        "pause_rules": spec.pause_rules.to_json(),
        "created_at": time_text(campaign.created_ms),
        "started_at": time_text(campaign.started_ms),
        "finished_at": time_text(campaign.finished_ms),
        "total": campaign.total,
        "duplicates": campaign.duplicates,
        "refused": campaign.refused,
    }


def row_view(row: Row) -> dict[str, Any]:
    """Return a row with its tries."""
    return {
        "n": row.n,
        "to": row.to_number,
        "state": row.state.value,
        "outcome": row.outcome.value if row.outcome is not None else None,
        "attempts": row.attempts,
        "call_id": row.call_id,
        "due_at": time_text(row.due_ms),
        "agent": row.agent,
        "zones": list(row.zones),
        "variables": dict(row.variables),
        "line": row.line or None,
        "history": [
            {"call_id": tried.call_id, "at": time_text(tried.at_ms), "outcome": tried.outcome.value}
            for tried in row.history
        ],
    }


def time_text(unix_ms: int | None) -> str | None:
    """Return a time as ISO-8601 UTC text."""
    if unix_ms is None:
        return None
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds")


def estimated_end(
    progress: Progress, now_utc: datetime, zones: tuple[str, ...], holidays: Holidays
) -> datetime | None:
    """Return when a running campaign will be done if it goes on as in the last minute.

    Tries still to come are reckoned by those that its ended rows took. Hours in which it may not
    dial are left out, by the clock of `zones`. None: nobody can tell, because it does not run or
    has not dialled for a minute.
    """
    left = progress.waiting + progress.leased + progress.open_rows
    if progress.campaign.state is not CampaignState.RUNNING or not progress.dialled_last_minute:
        return None
    tries = sum(progress.tries.values())
    each = max(1.0, tries / progress.ended) if progress.ended >= _FEW_ENDED else 1.0
    work_s = left * each / progress.dialled_last_minute * _MINUTE_S
    calendar = Calendar(parse_windows(progress.campaign.spec.windows), holidays)
    end = calendar.end_of(zones, now_utc, work_s)
    due_ms = progress.next_due_ms or 0
    if end is None or not progress.waiting or due_ms <= now_utc.timestamp() * 1000:
        return end
    return max(end, datetime.fromtimestamp(due_ms / 1000, UTC))


def _incomplete(lists: Incomplete | None) -> dict[str, Any] | None:
    if lists is None:
        return None
    return {
        "missing": lists.missing,
        "rows": lists.rows,
        "is_being_added": lists.is_being_added,
    }


def _next_due(progress: Progress, now_utc: datetime) -> str | None:
    if progress.next_due_ms is None:
        return None
    return time_text(max(progress.next_due_ms, int(now_utc.timestamp() * 1000)))
