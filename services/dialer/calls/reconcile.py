"""Asking Vobiz about calls of which nothing was heard: was it dialled, is it up, how did it end?

A call is asked about when its time has come (claims.py): its answer was lost, its dialer died, or
its webhooks did not come. It is looked for among the calls that are up and in the records of those
that are over; only when it is in neither, twice, was it not dialled. As long as Vobiz does not
answer, nobody knows, and it is asked again later.

Two dialers may ask about one call at once, where Vobiz answers so slowly that the first one's time
runs out. Then whatever one of them concludes later than the other changes nothing: one call of
Vobiz's is one of ours, what Vobiz has named is not taken for undialled, and the row's next call is
not looked at before its time.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import structlog

from services.dialer.calls.order import lost_change
from services.dialer.campaigns.claims import Claims, Tie
from services.dialer.campaigns.model import CampaignId, Row, RowPlace
from services.dialer.campaigns.settler import Settler
from shared.bus.base import BusUnavailable, CallStore
from shared.metrics.catalogue import DialerMetrics
from shared.protocol.call import (
    CallChange,
    CallId,
    CallRecord,
    CallState,
    Direction,
    EndClass,
    EndReason,
)
from shared.vobiz.client import CallSearch
from shared.vobiz.errors import VobizFailure
from shared.vobiz.lookup import CallFacts, digits_of

_log = structlog.get_logger(__name__)
_AT_ONCE: Final = 50
_UNANSWERED_S: Final = 30.0
_RECORD_LATE_S: Final = 10.0
_LOOKS_FOR_RECORD: Final = 6
_LOOKS_FOR_CALL: Final = 2
_SKEW: Final = timedelta(seconds=60)
_MAX_PAGES: Final = 400
"""Of records, back to when the call was asked for: twenty thousand calls. With fewer, a call that
could not be settled at once would never be on an account that goes on dialling."""
_REMEMBERED: Final = 2000


class Reconciled(StrEnum):
    """What a look came to; labels a metric."""

    ENDED = "ended"
    LIVE = "live"
    FOUND = "found"
    NOT_DIALLED = "not_dialled"
    LOST = "lost"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    """A call to ask about; `not_these` are Vobiz's ids of its row's earlier calls."""

    call_id: CallId
    place: RowPlace | None
    record: CallRecord | None
    to_number: str
    not_these: frozenset[str] = frozenset()

    def may_be(self, facts: CallFacts, since: datetime) -> bool:
        """Whether a call that Vobiz knows can be this one."""
        return (
            facts.is_outbound
            and facts.to_digits != ""
            and facts.to_digits == digits_of(self.to_number)
            and facts.call_uuid not in self.not_these
            and (facts.started_at is None or facts.started_at >= since)
        )


class Reconciler:
    """Finds out what became of calls.

    Args:
        search: None: there is no Vobiz to ask, and everything stays as it is.
        calls: the records.
        claims: says which calls.
        settler: told of ends.
        metrics: where results are counted.
        look_again_s: between looks at a call that is up.
        recheck_s: between the two looks after which a call was not dialled: a call that has just
            ended is for a moment neither up nor in the records.
        every_s: between looks at whose time has come.
        held_s: how long those that are being asked about are left alone by other dialers.
    """

    def __init__(
        self,
        search: CallSearch | None,
        calls: CallStore,
        claims: Claims,
        settler: Settler,
        metrics: DialerMetrics,
        *,
        look_again_s: float,
        recheck_s: float = 5.0,
        every_s: float = 2.0,
        held_s: float = 90.0,
    ) -> None:
        self._search = search
        self._calls = calls
        self._claims = claims
        self._settler = settler
        self._metrics = metrics
        self._look_again_s = look_again_s
        self._recheck_s = recheck_s
        self._every_s = every_s
        self._held_s = held_s
        self._looks: Counter[CallId] = Counter()
        self._known: OrderedDict[str, CallFacts] = OrderedDict()

    async def run(self) -> None:
        """Look until cancelled; an absent bus is waited for."""
        while True:
            try:
                await self.look()
            except BusUnavailable as exc:
                _log.warning("reconciling_interrupted", error=str(exc))
            await asyncio.sleep(self._every_s)

    async def look(self) -> None:
        """Ask about the calls whose time has come.

        Raises:
            BusUnavailable: some of them were not asked about; their time comes again.
        """
        due = await self._claims.to_look_at(_AT_ONCE, again_s=self._held_s)
        subjects = [await self._of_row(name, row) for name, row in due.rows]
        subjects += [await self._of_call(call_id) for call_id in due.calls]
        unnamed = []
        for subject in subjects:
            if subject.record is not None and subject.record.state.is_final:
                await self._settler.on_end(subject.call_id)
                self._count(Reconciled.ENDED, subject)
            elif subject.record is None and subject.place is None:
                # A single call's record is written before anything is sent.
                await self._claims.free(subject.call_id)
                self._count(Reconciled.NOT_DIALLED, subject)
            elif self._search is None:
                await self._again(subject, self._look_again_s)
            elif subject.record is not None and subject.record.call_uuid is not None:
                await self._guarded([subject], self._follow(self._search, subject))
            else:
                unnamed.append(subject)
        if unnamed and self._search is not None:
            await self._guarded(unnamed, self._find_all(self._search, unnamed))

    async def _of_row(self, campaign_id: CampaignId, row: Row) -> _Subject:
        call_id = row.call_id or CallId("")
        earlier = [await self._calls.get(attempt.call_id) for attempt in row.history]
        uuids = frozenset(record.call_uuid or "" for record in earlier if record is not None)
        place = RowPlace(campaign_id, row.n)
        record = await self._calls.get(call_id)
        return _Subject(call_id, place, record, row.to_number, uuids)

    async def _of_call(self, call_id: CallId) -> _Subject:
        record = await self._calls.get(call_id)
        return _Subject(call_id, None, record, (record and record.to_number) or "")

    async def _guarded(self, subjects: Sequence[_Subject], asking: Any) -> None:
        try:
            await asking
        except VobizFailure as failure:
            _log.warning("reconcile_unanswered", verdict=failure.verdict, calls=len(subjects))
            for subject in subjects:
                self._count(Reconciled.UNANSWERED, subject)
                await self._again(subject, _UNANSWERED_S)

    async def _follow(self, search: CallSearch, subject: _Subject) -> None:
        """Ask about a call that Vobiz has named."""
        assert subject.record is not None  # it names the call
        call_uuid = subject.record.call_uuid or ""
        if await search.call_up(call_uuid) is not None:
            self._looks.pop(subject.call_id, None)
            self._count(Reconciled.LIVE, subject)
            await self._again(subject, self._look_again_s)
            return
        over = await search.call_over(call_uuid)
        if over is not None:
            await self._write_end(subject, over)
            return
        self._looks[subject.call_id] += 1
        if self._looks[subject.call_id] < _LOOKS_FOR_RECORD:
            await self._again(subject, _RECORD_LATE_S)
            return
        # It was up and is not, and Vobiz has no record of its end.
        await self._end(subject, lost_change(subject.call_id), Reconciled.LOST)

    async def _find_all(self, search: CallSearch, subjects: Sequence[_Subject]) -> None:
        """Look for calls that Vobiz has not named to us."""
        missing, others = list(subjects), set[str]()
        is_sure, looks = True, 0
        while missing and looks < _LOOKS_FOR_CALL:
            if looks:
                await asyncio.sleep(self._recheck_s)
            found, is_complete = await self._find(search, missing, others)
            is_sure = is_sure and is_complete
            looks += 1
            for subject, facts in found:
                tie = await self._claims.tie(subject.call_id, subject.place, facts.call_uuid)
                if tie is Tie.TAKEN:
                    # Another call to this number: there may be one more, so this look is none.
                    others.add(facts.call_uuid)
                    looks = 0
                    continue
                missing.remove(subject)
                if tie is Tie.TIED:
                    await self._tie(subject, facts)
                else:
                    await self._settler.on_end(subject.call_id)
        for subject in missing:
            if is_sure:
                await self._end_undialled(subject)
            else:
                self._count(Reconciled.UNANSWERED, subject)
                await self._again(subject, _UNANSWERED_S)

    async def _find(
        self, search: CallSearch, subjects: Sequence[_Subject], others: set[str]
    ) -> tuple[list[tuple[_Subject, CallFacts]], bool]:
        """Return those found, each with a call of its own, and whether all calls were seen.

        None of them is one of `others`, Vobiz's ids of calls that are known to be other ones.
        """
        since = {subject: self._since(subject) for subject in subjects}
        taken = await self._named() | others
        up = await search.calls_up()
        unnamed = [call_uuid for call_uuid in up.call_uuids if call_uuid not in taken]
        seen = [await self._facts(search, call_uuid) for call_uuid in unnamed]
        over, is_complete = await self._over_since(search, min(since.values()))
        candidates = [facts for facts in (*seen, *over) if facts is not None]
        is_seen = await self._are_seen(unnamed, {facts.call_uuid for facts in candidates})
        found: list[tuple[_Subject, CallFacts]] = []
        for subject in subjects:
            for facts in candidates:
                if facts.call_uuid not in taken and subject.may_be(facts, since[subject]):
                    found.append((subject, facts))
                    taken.add(facts.call_uuid)
                    break
        return found, up.is_complete and is_seen and is_complete

    async def _are_seen(self, call_uuids: Sequence[str], seen: set[str]) -> bool:
        """Whether enough is known of calls that were up.

        One that ended between two answers, and whose record is still to come, may be any; but not
        one that came in, whose id is ours as well.
        """
        for call_uuid in call_uuids:
            if call_uuid not in seen and await self._calls.get(CallId(call_uuid)) is None:
                return False
        return True

    async def _named(self) -> set[str]:
        """Return Vobiz's ids of calls that are known to be others."""
        records = [await self._calls.get(call_id) for call_id in await self._claims.slots()]
        return {record.call_uuid or "" for record in records if record is not None}

    def _since(self, subject: _Subject) -> datetime:
        """Return before when the call can't have begun; clocks may differ."""
        try:
            created = datetime.fromisoformat((subject.record and subject.record.created_at) or "")
        except ValueError:
            created = datetime.now(UTC) - timedelta(seconds=2 * self._look_again_s)
        return created - _SKEW

    async def _facts(self, search: CallSearch, call_uuid: str) -> CallFacts | None:
        known = self._known.get(call_uuid)
        if known is None:
            known = await search.call_up(call_uuid)
            if known is not None:
                self._known[call_uuid] = known
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known

    async def _over_since(
        self, search: CallSearch, since: datetime
    ) -> tuple[list[CallFacts], bool]:
        found: list[CallFacts] = []
        for page in range(1, _MAX_PAGES + 1):
            calls = await search.calls_over(page)
            found += calls
            times = [facts.started_at for facts in calls if facts.started_at is not None]
            if not calls or (times and max(times) < since):
                return found, True
        return found, False

    async def _tie(self, subject: _Subject, facts: CallFacts) -> None:
        """Note which of Vobiz's calls this is, and its end where it is over."""
        if facts.end is not None:
            await self._write_end(subject, facts)
            return
        fields = {"call_uuid": facts.call_uuid, **_who(subject)}
        await self._calls.apply(CallChange(subject.call_id, None, fields))
        self._count(Reconciled.FOUND, subject)
        await self._again(subject, self._look_again_s)

    async def _write_end(self, subject: _Subject, facts: CallFacts) -> None:
        assert facts.end is not None  # it is over
        state, end_class, reason = facts.end
        fields = {
            "call_uuid": facts.call_uuid,
            "hangup_cause": facts.hangup_cause or None,
            "hangup_cause_code": facts.hangup_cause_code or None,
            "hangup_source": facts.hangup_source or None,
            "duration_s": facts.talk_s,
            "end_class": end_class,
            "end_reason": reason,
            **_who(subject),
        }
        await self._end(subject, CallChange(subject.call_id, state, fields), Reconciled.FOUND)

    async def _end_undialled(self, subject: _Subject) -> None:
        """End a call that Vobiz never had, unless a webhook or another dialer has named it."""
        applied = await self._calls.apply(_not_dialled(subject))
        if not applied.record.state.is_final:
            await self._again(subject, 0.0)
            return
        if applied.became_final:
            self._count(Reconciled.NOT_DIALLED, subject)
        self._looks.pop(subject.call_id, None)
        await self._settler.on_end(subject.call_id)

    async def _end(self, subject: _Subject, change: CallChange, result: Reconciled) -> None:
        await self._calls.apply(change)
        self._looks.pop(subject.call_id, None)
        self._count(result, subject)
        await self._settler.on_end(subject.call_id)

    async def _again(self, subject: _Subject, in_s: float) -> None:
        await self._claims.look_again(subject.call_id, subject.place, in_s=in_s)

    def _count(self, result: Reconciled, subject: _Subject) -> None:
        self._metrics.reconciled.labels(result.value).inc()
        _log.info("call_reconciled", call_id=subject.call_id, result=result.value)


def _who(subject: _Subject) -> dict[str, Any]:
    """Fields for a record that may not be there: a dialer can die between permit and record."""
    return {"direction": Direction.OUTBOUND, "to_number": subject.to_number or None}


def _not_dialled(subject: _Subject) -> CallChange:
    fields = {
        "end_class": EndClass.PROVIDER,
        "end_reason": EndReason.PROVIDER_FAILED,
        "error": "Vobiz never had this call.",
        **_who(subject),
    }
    return CallChange(subject.call_id, CallState.FAILED, fields, only_unnamed=True)
