"""Campaigns as an operator trusts them: dialers are killed, the cloud has bad days.

All is judged by the simulated cloud's own book, and what the dialer tells is held against it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.campaign_proof import (
    RULE,
    CampaignStage,
    Keeper,
    Scale,
    numbers_of,
    spread_trouble,
)
from tests.support.dial_judge import (
    Limits,
    RowTold,
    by_number,
    judge,
    judge_rows,
    most_at_once,
    most_in_a_second,
    share_stalled,
    unexplained,
    unfinished,
)
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.system

STALLED_MOST = 0.4
SHARES = {
    "answer": 0.4,
    "machine": 0.06,
    "busy": 0.2,
    "carrier-no-answer": 0.18,
    "reject": 0.06,
    "invalid": 0.04,
    "carrier-failure": 0.06,
}
SMALL = Scale(
    numbers=120,
    limits=Limits(cps=15, concurrency=30),
    kill_every_s=(1.5, 2.5),
    burst_every_s=6.0,
    trouble_share=0.06,
    limit_s=150,
    kills_most=2,
    reconcile_s=3,
)
LARGE = Scale(
    numbers=2000,
    limits=Limits(cps=25, concurrency=60),
    kill_every_s=(4.0, 9.0),
    burst_every_s=25.0,
    trouble_share=0.018,
    limit_s=600,
)


@contextmanager
def staged(directory: Path, redis: RedisServer, scale: Scale) -> Iterator[CampaignStage]:
    stage = CampaignStage(directory, redis.url, scale.limits, reconcile_s=scale.reconcile_s)
    try:
        stage.crew.start()
        yield stage
    finally:
        stage.stop()


def begin(stage: CampaignStage, scale: Scale) -> str:
    stage.tell_cloud(
        "mix",
        shares=SHARES,
        after_s=[0.1, 0.5],
        talk_s=[0.3, 1.5],
        machine_s=[6, 7],
        seed=scale.seed,
    )
    spread_trouble(stage, scale.trouble_share)
    body = {
        "name": "proof",
        "machine_detection": "hangup",
        "windows": {"always": True},
        "retry": {
            "max_attempts": RULE.max_attempts,
            "after_s": {name: list(waits) for name, waits in RULE.after_s.items()},
        },
        "pause_rules": {"error_rate": None},
        "rows": [{"to": number} for number in numbers_of(scale.numbers)],
        "start": True,
    }
    made = stage.ask("POST", "/v1/campaigns", json=body)
    assert made.status_code == 201, made.text
    campaign_id: str = made.json()["id"]
    return campaign_id


def play(stage: CampaignStage, scale: Scale) -> tuple[str, Keeper]:
    campaign_id = begin(stage, scale)
    keeper = Keeper(stage, scale)
    with keeper.at_work():
        stage.until(campaign_id, "finished", scale.limit_s)
    return campaign_id, keeper


def differences(results: list[dict[str, str]], rows: list[RowTold]) -> list[str]:
    """Where the CSV does not say of a number what the rows say."""
    told = {row.to_number: row for row in rows}
    found = [f"{number} is not in both" for number in set(told) ^ {r["to"] for r in results}]
    for result in results:
        row = told[result["to"]]
        tries = [text.partition("@")[0] for text in result["tries"].split()]
        said = (result["state"], result["outcome"], tries)
        if said != (row.state, row.outcome, [outcome for _, outcome in row.tries]):
            found.append(f"{row.to_number} is {said} in the table")
    return found


def check(stage: CampaignStage, scale: Scale, campaign_id: str, keeper: Keeper) -> dict[str, Any]:
    """Judge what was done; return the figures of it."""
    numbers, stalls = numbers_of(scale.numbers), stage.stalls()
    book, rows = stage.book(), stage.rows(campaign_id)
    limits = replace(scale.limits, stalls=stalls)
    phantoms = unexplained(book, rows)
    cut_short = {row.to_number for row in rows if {c for c, _ in row.tries} & set(phantoms)}
    wrong = judge(book, numbers, RULE, limits)
    wrong += judge_rows(book, rows, RULE)
    wrong += differences(stage.results(campaign_id), rows)
    wrong += [
        f"{number} is not at its rule's end"
        for number in unfinished(book, numbers, RULE)
        if number not in cut_short
    ]
    assert wrong == []
    assert len(phantoms) <= keeper.kills, "more tries counted than asked for"
    times_s = [line.at_s for line in book]
    assert share_stalled(times_s, stalls) < STALLED_MOST, "the machine was too busy to judge"
    return {
        "numbers": len(numbers),
        "asked": len(book),
        "dialled": sum(line.is_dialled for line in book),
        "kills": keeper.kills,
        "bursts": keeper.bursts,
        "asked_in_a_second": most_in_a_second(times_s, stalls),
        "stalled": round(share_stalled(times_s, stalls), 4),
        "at_once": most_at_once(book),
        "outcomes": Counter(row.outcome for row in rows),
        "troubles": Counter(
            f"{line.status}{' dialled' if line.is_dialled else ''}"
            for line in book
            if line.status not in (200, 201)
        ),
        "tries": Counter(len(lines) for lines in by_number(book).values()),
        "took_s": round(book[-1].at_s - book[0].at_s),
        "never_asked": len(phantoms),
    }


@pytest.mark.alone
@pytest.mark.timeout(200)
def test_a_campaign_is_done_to_the_letter_while_its_dialers_are_killed(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with staged(tmp_path, redis_server, SMALL) as stage:
        campaign_id, keeper = play(stage, SMALL)
        figures = check(stage, SMALL, campaign_id, keeper)
    # It has been tried, not spared: dialers died, calls were lost, numbers were tried again.
    assert figures["kills"] >= 2
    assert len(figures["troubles"]) >= 3
    assert set(figures["outcomes"]) >= {"answered", "machine", "busy", "no_answer", "rejected"}
    assert max(figures["tries"]) > 1
    assert figures["asked_in_a_second"] > SMALL.limits.cps / 2


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_thousand_numbers_are_dialled_to_the_letter_while_dialers_are_killed(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with staged(tmp_path, redis_server, LARGE) as stage:
        campaign_id, keeper = play(stage, LARGE)
        lines = "\n".join(json.dumps(line) for line in stage.book_lines())
        (tmp_path / "book.jsonl").write_text(lines)
        figures = check(stage, LARGE, campaign_id, keeper)
    (tmp_path / "figures.json").write_text(json.dumps(figures, indent=1, default=str))
    assert figures["kills"] >= 20
    assert len(figures["troubles"]) >= 5
    assert set(figures["outcomes"]) >= {
        *("answered", "machine", "busy", "no_answer", "rejected", "invalid_number", "failed")
    }
    assert figures["asked_in_a_second"] > LARGE.limits.cps * 0.8
