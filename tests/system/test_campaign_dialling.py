"""Campaigns dialled by replicas on a real Redis, against a Vobiz that keeps a log."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from services.dialer.campaigns.judge import PauseRules
from services.dialer.campaigns.model import (
    ANY_TIME,
    Campaign,
    CampaignSpec,
    CampaignState,
    NewRow,
    Row,
    RowPlace,
    RowState,
)
from services.dialer.campaigns.outcome import Outcome
from services.dialer.campaigns.retry import RetryRules
from services.dialer.numbers.do_not_call import Barred, DoNotCallList
from shared.bus.messages import WorkerLease
from shared.protocol.call import CallId, WorkerId
from shared.runtime.tasks import TaskOwner
from shared.vobiz.errors import Verdict
from tests.support.campaign_stage import (
    ANSWERED,
    BUSY,
    NO_ANSWER,
    Pace,
    Play,
    Stage,
    becomes_true,
    tries_by_number,
)
from tests.support.campaigns import FROM, campaign_redis, filled, number
from tests.support.redis_server import RedisServer

__all__ = ["campaign_redis"]
pytestmark = pytest.mark.system

ONCE = RetryRules(max_attempts=1)


def spec(**wanted: object) -> CampaignSpec:
    plain: dict[str, object] = {"windows": ANY_TIME, "needs_agent": False, "from_number": FROM}
    return CampaignSpec("test", **(plain | wanted))  # type: ignore[arg-type] # of mixed kinds


async def test_every_number_is_dialled_once_by_two_replicas(campaign_redis: RedisServer) -> None:
    pace = Pace(margin_s=2.0)  # a grant that is asked for anew, on a busy machine, counts twice
    async with Stage(campaign_redis.url, "{once}", pace).open() as stage:
        campaign = await filled(stage.ledger, 60, spec())
        stage.replica()
        stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        await stage.until(campaign.campaign_id, CampaignState.FINISHED)
        assert stage.vobiz.dialled() == Counter(number(n) for n in range(1, 61))
        progress = await stage.ledger.progress(campaign.campaign_id)
        assert progress.outcomes == {Outcome.ANSWERED: 60} == progress.tries
        assert (progress.waiting, progress.leased, progress.open_rows) == (0, 0, 0)
        settled = granted = 0.0
        for replica in stage.replicas:
            of = replica.registry.get_sample_value
            settled += of("voice_dialer_campaign_calls_total", {"outcome": "answered"}) or 0
            granted += of("voice_dialer_grants_total", {"answer": "go"}) or 0
        assert (settled, granted) == (60, 60)


async def killed_at(url: str, n: int, *, is_after: bool) -> tuple[int, Stage, list[Row], Campaign]:
    """Run three rows with a replica that dies at its n-th command, and one that does not.

    The other is there from the beginning each third time, else it comes after the death.
    """
    pace = Pace(lease_s=0.4, look_after_s=0.4, margin_s=1.0)
    stage = Stage(url, f"{{k{n}{is_after:d}}}", pace)
    async with stage.open():
        stage.vobiz.play = play_of_three
        campaign = await filled(stage.ledger, 3, spec(retry=ONCE))
        first = stage.replica(dies_at=n, is_after=is_after)
        if n % 3 == 0:
            stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        is_dead = asyncio.create_task(first.store.dead.wait())
        await asyncio.wait({is_dead}, timeout=1.0)
        is_dead.cancel()
        if n % 3 != 0:
            stage.replica()
        done = await stage.until(campaign.campaign_id, CampaignState.FINISHED)
        progress = await stage.ledger.progress(campaign.campaign_id)
        assert sum(progress.outcomes.values()) == progress.campaign.total == 3, (n, is_after)
        assert progress.outcomes == progress.tries, (n, is_after)
        rows = await stage.rows(campaign.campaign_id)
        left = await stage.bus.store.redis.keys(f"{stage.prefix}:dial:of-call:*")
        assert left == [], (n, is_after)
        return first.store.commands, stage, rows, done


def play_of_three(to: str, _: int) -> Play:
    """One number is answered, at another Vobiz loses its answer, one is busy."""
    if to == number(2):
        return Play(Verdict.OUTCOME_UNKNOWN, is_told=False)
    return Play(end=BUSY) if to == number(3) else Play()


async def test_a_replica_killed_at_any_command_loses_no_row_and_dials_none_twice(
    campaign_redis: RedisServer,
) -> None:
    """A killed process does nothing more, and its last command was perhaps done.

    The order of commands is not the same each time, so that runs meet other places.
    """
    places = [(n, n % 2 == 0) for n in range(4, 80)]
    found = []
    for first in range(0, len(places), 38):
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(killed_at(campaign_redis.url, n, is_after=is_after))
                for n, is_after in places[first : first + 38]
            ]
        found += [task.result() for task in running]
    for (n, is_after), (_, stage, rows, _) in zip(places, found, strict=True):
        dialled = stage.vobiz.dialled()
        assert set(dialled.values()) <= {1}, (n, is_after)
        for row in rows:
            assert row.state is RowState.ENDED, (n, is_after, row)
            assert row.attempts == len(row.history) == 1, (n, is_after, row)
            is_failed = row.outcome in {Outcome.FAILED, Outcome.UNKNOWN}
            assert is_failed is not (row.to_number in dialled), (n, is_after, row)


async def test_rate_and_calls_at_once_are_never_exceeded(campaign_redis: RedisServer) -> None:
    pace = Pace(cps=8, concurrency=5, margin_s=0.2)
    async with Stage(campaign_redis.url, "{caps}", pace).open() as stage:
        stage.vobiz.play = lambda to, n: Play(lasts_s=0.3)
        campaigns = [await filled(stage.ledger, 9, spec()) for _ in range(2)]
        for _ in range(3):
            stage.replica()
        for campaign in campaigns:
            await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        for campaign in campaigns:
            await stage.until(campaign.campaign_id, CampaignState.FINISHED)
        assert len(stage.vobiz.asked) == 18
        assert 3 <= stage.vobiz.most_in_a_second() <= 8
        assert 3 <= stage.vobiz.most_at_once() <= 5


async def test_a_campaign_keeps_limits_of_its_own_and_leaves_the_rest_to_others(
    campaign_redis: RedisServer,
) -> None:
    async with Stage(campaign_redis.url, "{own}", Pace(cps=50)).open() as stage:
        stage.vobiz.play = lambda to, n: Play(lasts_s=0.2)
        slow = await filled(stage.ledger, 4, spec(cps=2.0, priority=9))
        narrow = await filled(stage.ledger, 3, spec(concurrency=1, priority=9))
        other = await filled(stage.ledger, 20, spec(priority=1))
        stage.replica()
        stage.replica()
        for campaign in (slow, narrow, other):
            await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        began_s = time.monotonic()
        await stage.until(other.campaign_id, CampaignState.FINISHED)
        assert time.monotonic() - began_s < 3
        for campaign in (slow, narrow):
            await stage.until(campaign.campaign_id, CampaignState.FINISHED)
        ids = {row.call_id for row in await stage.rows(slow.campaign_id)}
        times = sorted(asked.at_s for asked in stage.vobiz.asked if asked.call_id in ids)
        assert times[2] - times[0] >= 1.0
        assert times[3] - times[1] >= 1.0
        ids = {row.call_id for row in await stage.rows(narrow.campaign_id)}
        calls = sorted(
            (asked.at_s, asked.over_s or 0) for asked in stage.vobiz.asked if asked.call_id in ids
        )
        assert all(later[0] > earlier[1] for earlier, later in pairwise(calls))


async def test_busy_people_are_called_again_as_the_rules_say(campaign_redis: RedisServer) -> None:
    rules = RetryRules(3, {Outcome.BUSY: (60.0, 120.0), Outcome.NO_ANSWER: (60.0,)})
    async with Stage(campaign_redis.url, "{again}", Pace(hurry=200.0)).open() as stage:
        ends = {
            number(1): [BUSY, BUSY, BUSY, BUSY],
            number(2): [BUSY, ANSWERED],
            number(3): [NO_ANSWER, BUSY, NO_ANSWER],
        }
        stage.vobiz.play = lambda to, n: Play(end=ends[to][n - 1])
        campaign = await filled(stage.ledger, 3, spec(retry=rules))
        stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        await stage.until(campaign.campaign_id, CampaignState.FINISHED)
        rows = await stage.rows(campaign.campaign_id)
        assert tries_by_number(rows) == {
            number(1): ["busy", "busy", "busy"],
            number(2): ["busy", "answered"],
            number(3): ["no_answer", "busy", "no_answer"],
        }
        first = rows[0].history
        assert first[1].at_ms - first[0].at_ms >= 60_000
        assert first[2].at_ms - first[1].at_ms >= 120_000
        progress = await stage.ledger.progress(campaign.campaign_id)
        assert progress.tries == {Outcome.BUSY: 5, Outcome.NO_ANSWER: 2, Outcome.ANSWERED: 1}
        assert progress.outcomes == {Outcome.BUSY: 1, Outcome.ANSWERED: 1, Outcome.NO_ANSWER: 1}


async def test_a_429_holds_everybody_and_costs_no_try(campaign_redis: RedisServer) -> None:
    async with Stage(campaign_redis.url, "{429}", Pace()).open() as stage:
        refused = Play(Verdict.RATE_LIMITED)
        stage.vobiz.play = lambda to, n: refused if (to, n) == (number(1), 1) else Play()
        campaign = await filled(stage.ledger, 4, spec(retry=ONCE))
        stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        await stage.until(campaign.campaign_id, CampaignState.FINISHED)
        (first,) = [asked for asked in stage.vobiz.asked if not asked.is_dialled]
        # What was on its way in the same moment may still come.
        after = [a.at_s - first.at_s for a in stage.vobiz.asked if a.at_s > first.at_s + 0.2]
        assert after
        assert min(after) >= 1.0
        assert set(stage.vobiz.dialled().values()) == {1}
        rows = await stage.rows(campaign.campaign_id)
        assert [row.attempts for row in rows] == [1, 1, 1, 1]
        use = await stage.replicas[0].pacing.use()
        assert use.pace < 1


@pytest.mark.parametrize("verdict", [Verdict.NO_BALANCE, Verdict.UNAUTHORIZED, Verdict.FORBIDDEN])
async def test_what_stops_the_account_pauses_every_campaign(
    campaign_redis: RedisServer, verdict: Verdict
) -> None:
    async with Stage(campaign_redis.url, f"{{stop-{verdict}}}", Pace()).open() as stage:
        is_broken = True
        stage.vobiz.play = lambda to, n: Play(verdict) if is_broken else Play()
        campaigns = [await filled(stage.ledger, 3, spec()) for _ in range(2)]
        stage.replica()
        for campaign in campaigns:
            await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        for campaign in campaigns:
            paused = await stage.until(campaign.campaign_id, CampaignState.PAUSED)
            assert paused.reason == verdict
        await asyncio.sleep(0.3)
        is_broken = False
        for campaign in campaigns:
            rows = await stage.rows(campaign.campaign_id)
            assert {(row.state, row.attempts) for row in rows} == {(RowState.WAITING, 0)}
            await stage.ledger.resume(campaign.campaign_id, now_ms=stage.wall_ms())
        for campaign in campaigns:
            await stage.until(campaign.campaign_id, CampaignState.FINISHED)


async def test_numbers_that_vobiz_refuses_end_and_many_of_them_pause_the_campaign(
    campaign_redis: RedisServer,
) -> None:
    async with Stage(campaign_redis.url, "{400}", Pace()).open() as stage:
        number_bad = Play(Verdict.INVALID, message="failed getting country code")
        stage.vobiz.play = lambda to, n: number_bad if to == number(1) else Play(Verdict.INVALID)
        rules = PauseRules(error_rate=0.5, over_last=5)
        campaign = await filled(stage.ledger, 30, spec(pause_rules=rules))
        stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        paused = await stage.until(campaign.campaign_id, CampaignState.PAUSED)
        assert paused.reason.startswith("error_rate ")
        await asyncio.sleep(0.3)
        progress = await stage.ledger.progress(campaign.campaign_id)
        assert progress.outcomes[Outcome.INVALID_NUMBER] == 1
        assert 4 <= progress.outcomes[Outcome.REFUSED] < 29


async def test_nobody_on_the_do_not_call_list_is_dialled(campaign_redis: RedisServer) -> None:
    async with Stage(campaign_redis.url, "{dnc}", Pace()).open() as stage:
        campaign = await filled(stage.ledger, 3, spec())
        await DoNotCallList(stage.bus.store).add([Barred(number(2), "asked", "", "test")])
        stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        await stage.until(campaign.campaign_id, CampaignState.FINISHED)
        rows = await stage.rows(campaign.campaign_id)
        assert [row.outcome for row in rows] == [
            Outcome.ANSWERED,
            Outcome.DO_NOT_CALL,
            Outcome.ANSWERED,
        ]
        assert number(2) not in stage.vobiz.dialled()
        assert rows[1].attempts == 0


async def test_nobody_is_dialled_for_whom_no_agent_is_free(campaign_redis: RedisServer) -> None:
    async with Stage(campaign_redis.url, "{agents}", Pace()).open() as stage:
        stage.vobiz.play = lambda to, n: Play(lasts_s=0.3)
        campaign = await filled(stage.ledger, 3, spec(needs_agent=True))
        stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        await asyncio.sleep(0.5)
        assert not stage.vobiz.asked
        lease = WorkerLease(WorkerId("w1"), "127.0.0.1:1", capacity=2)
        gone = WorkerLease(WorkerId("w2"), "127.0.0.1:2", capacity=9, draining=True)
        async with TaskOwner("workers") as tasks:

            async def beat() -> None:
                while True:
                    await stage.bus.workers.heartbeat(lease, [CallId("inbound-call")])
                    await stage.bus.workers.heartbeat(gone, [])
                    await asyncio.sleep(0.5)

            tasks.start(beat(), name="beat")
            await asyncio.sleep(1.0)
            assert stage.vobiz.most_at_once() == 1
            await stage.until(campaign.campaign_id, CampaignState.FINISHED)
        assert stage.vobiz.most_at_once() == 1


async def test_rows_wait_for_their_hours(campaign_redis: RedisServer) -> None:
    """The list is for people in two places; where it is night nobody is called."""
    async with Stage(campaign_redis.url, "{hours}", Pace()).open() as stage:
        now = datetime.fromtimestamp(stage.wall_ms() / 1000, UTC)
        here, there = "Etc/GMT", "Etc/GMT+12"
        opening = (now - timedelta(hours=1)).strftime("%H:%M")
        closing = (now + timedelta(hours=1)).strftime("%H:%M")
        wanted = spec(windows={"daily": [[opening, closing]]})
        campaign = await stage.ledger.create(wanted, now_ms=stage.wall_ms())
        rows = [NewRow(number(n), zones=(there if n <= 700 else here,)) for n in range(1, 711)]
        for first in (0, 500):
            await stage.ledger.add_rows(
                campaign.campaign_id, rows[first : first + 500], more_follow=False
            )
        stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())

        async def ten_are_asked() -> bool:
            return len(stage.vobiz.asked) >= 10

        await becomes_true(ten_are_asked)
        await asyncio.sleep(0.5)
        assert set(stage.vobiz.dialled()) == {number(n) for n in range(701, 711)}
        progress = await stage.ledger.progress(campaign.campaign_id)
        assert (progress.waiting, progress.ended) == (700, 10)
        assert progress.next_due_ms is not None
        assert 10.5 * 3600 < progress.next_due_ms / 1000 - now.timestamp() < 11.5 * 3600


async def test_pause_and_resume_in_the_midst_lose_nothing(campaign_redis: RedisServer) -> None:
    async with Stage(campaign_redis.url, "{pause}", Pace()).open() as stage:
        campaign = await filled(stage.ledger, 60, spec())
        stage.replica()
        stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        for _ in range(8):
            await asyncio.sleep(0.03)
            if (await stage.ledger.get(campaign.campaign_id)).state.is_final:
                break
            await stage.ledger.pause(campaign.campaign_id, reason="test", now_ms=stage.wall_ms())
            await asyncio.sleep(0.15)
            asked = len(stage.vobiz.asked)
            await asyncio.sleep(0.1)
            assert len(stage.vobiz.asked) == asked
            await stage.ledger.resume(campaign.campaign_id, now_ms=stage.wall_ms())
        await stage.until(campaign.campaign_id, CampaignState.FINISHED)
        assert stage.vobiz.dialled() == Counter(number(n) for n in range(1, 61))
        progress = await stage.ledger.progress(campaign.campaign_id)
        assert progress.outcomes == {Outcome.ANSWERED: 60}


async def test_cancelling_in_the_midst_ends_every_row_once(campaign_redis: RedisServer) -> None:
    async with Stage(campaign_redis.url, "{cancel}", Pace(cps=20)).open() as stage:
        stage.vobiz.play = lambda to, n: Play(end=BUSY)
        campaign = await filled(stage.ledger, 1500, spec())
        stage.replica()
        stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        await asyncio.sleep(0.6)
        cancelled = await stage.ledger.cancel(campaign.campaign_id, now_ms=stage.wall_ms())
        assert cancelled.state is CampaignState.CANCELLED

        async def all_have_ended() -> bool:
            return (await stage.ledger.progress(campaign.campaign_id)).ended == 1500

        await becomes_true(all_have_ended)
        progress = await stage.ledger.progress(campaign.campaign_id)
        dialled = len(stage.vobiz.asked)
        await asyncio.sleep(0.3)
        assert len(stage.vobiz.asked) == dialled < 60
        assert progress.tries == {Outcome.BUSY: dialled}
        rows = await stage.rows(campaign.campaign_id)
        assert Counter(row.outcome for row in rows) == progress.outcomes
        assert all(row.state is RowState.ENDED for row in rows)
        await stage.ledger.remove(campaign.campaign_id)


async def test_a_call_of_which_vobiz_says_nothing_is_never_dialled_again_blindly(
    campaign_redis: RedisServer,
) -> None:
    pace = Pace(look_after_s=0.3)
    async with Stage(campaign_redis.url, "{silent}", pace).open() as stage:
        stage.vobiz.answers_searches = False
        lost = Play(Verdict.PLATFORM_ERROR, is_dialled=False)
        stage.vobiz.play = lambda to, n: lost if n == 1 else Play()
        rules = RetryRules(2, {Outcome.FAILED: (1.0,)})
        campaign = await filled(stage.ledger, 1, spec(retry=rules))
        stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())

        async def vobiz_is_asked() -> bool:
            return stage.vobiz.searches > 0

        await becomes_true(vobiz_is_asked)
        await asyncio.sleep(0.5)
        (row,) = await stage.rows(campaign.campaign_id)
        assert (row.state, len(stage.vobiz.asked)) == (RowState.ASKING, 1)
        stage.vobiz.answers_searches = True
        place = RowPlace(campaign.campaign_id, row.n)
        assert row.call_id is not None
        await stage.claims.look_again(row.call_id, place, in_s=0)
        await stage.until(campaign.campaign_id, CampaignState.FINISHED)
        (row,) = await stage.rows(campaign.campaign_id)
        assert row.tries == [Outcome.FAILED, Outcome.ANSWERED]


async def test_an_end_that_nobody_heard_of_is_found_in_vobiz_records(
    campaign_redis: RedisServer,
) -> None:
    async with Stage(campaign_redis.url, "{unheard}", Pace(look_after_s=0.3)).open() as stage:
        stage.vobiz.play = lambda to, n: Play(end=BUSY, is_told=False)
        campaign = await filled(stage.ledger, 3, spec(retry=ONCE))
        stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        await stage.until(campaign.campaign_id, CampaignState.FINISHED)
        assert {row.outcome for row in await stage.rows(campaign.campaign_id)} == {Outcome.BUSY}
        labels = {"result": "found"}
        registry = stage.replicas[0].registry
        assert registry.get_sample_value("voice_dialer_reconciled_total", labels) == 3


async def test_while_vobiz_is_away_rows_wait_and_no_try_is_lost(
    campaign_redis: RedisServer,
) -> None:
    async with Stage(campaign_redis.url, "{away}", Pace()).open() as stage:
        away = True
        stage.vobiz.play = lambda to, n: Play(Verdict.UNREACHABLE) if away else Play()
        campaign = await filled(stage.ledger, 5, spec(retry=ONCE))
        stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        await asyncio.sleep(0.7)
        away = False
        await stage.until(campaign.campaign_id, CampaignState.FINISHED)
        rows = await stage.rows(campaign.campaign_id)
        assert [(row.attempts, row.outcome) for row in rows] == [(1, Outcome.ANSWERED)] * 5
        recent = await stage.bus.calls.recent(50)
        assert len(recent) == 5  # nothing is left behind of what was never sent


async def test_idling_costs_a_few_commands_a_second(campaign_redis: RedisServer) -> None:
    async with Stage(campaign_redis.url, "{idle}", Pace(tick_s=2.0)).open() as stage:
        campaign = await filled(stage.ledger, 2000, spec())
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        await stage.ledger.pause(campaign.campaign_id, reason="", now_ms=stage.wall_ms())
        replica = stage.replica()
        await asyncio.sleep(0.5)
        before = replica.store.commands
        await asyncio.sleep(3.0)
        assert replica.store.commands - before <= 3 * 4
        of = replica.registry.get_sample_value
        assert of("voice_dialer_campaigns", {"state": "paused"}) == 1
        assert of("voice_dialer_rows", {"state": "waiting"}) == 2000


async def test_a_lease_that_lapses_gives_its_row_to_another(campaign_redis: RedisServer) -> None:
    async with Stage(campaign_redis.url, "{lapse}", Pace()).open() as stage:
        campaign = await filled(stage.ledger, 1, spec())
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        (row,) = await stage.claims.lease(
            campaign.campaign_id, "dead", now_ms=stage.wall_ms(), limit=5, lease_s=0.3
        )
        replica = stage.replica()
        await asyncio.sleep(0.15)
        assert not stage.vobiz.asked
        await stage.until(campaign.campaign_id, CampaignState.FINISHED)
        assert replica.registry.get_sample_value("voice_dialer_leases_lapsed_total") == 1
        due = [(row.n, stage.wall_ms())]
        assert await stage.claims.give_back(campaign.campaign_id, "dead", due) == 0
        assert not await stage.claims.end_row(
            campaign.campaign_id, "dead", row.n, Outcome.REFUSED, now_ms=stage.wall_ms()
        )
        progress = await stage.ledger.progress(campaign.campaign_id)
        assert progress.outcomes == {Outcome.ANSWERED: 1}


async def test_hours_are_looked_at_in_the_last_moment(campaign_redis: RedisServer) -> None:
    """A row that waits for its grant when the day ends is not called in the evening."""
    async with Stage(campaign_redis.url, "{evening}", Pace(concurrency=1)).open() as stage:
        minute = datetime.fromtimestamp(stage.wall_ms() / 1000 + 60, UTC)
        closing = minute.replace(second=0, microsecond=0)
        stage.set_clock(closing - timedelta(seconds=1))
        hours = [["00:00", closing.strftime("%H:%M")]]
        if closing.strftime("%H:%M") == "00:00":
            hours = [["12:00", "00:00"]]
        stage.vobiz.play = lambda to, n: Play(lasts_s=0.5)
        wanted = spec(windows={"daily": hours, "zone": "Etc/GMT"})
        campaign = await filled(stage.ledger, 3, wanted)
        stage.replica()
        await stage.ledger.start(campaign.campaign_id, now_ms=stage.wall_ms())
        await asyncio.sleep(2.5)
        assert len(stage.vobiz.asked) == 1
        progress = await stage.ledger.progress(campaign.campaign_id)
        assert (progress.waiting, progress.ended) == (2, 1)
