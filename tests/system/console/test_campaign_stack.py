"""A campaign from the page through the whole platform: a Chromium, a gateway, a dialer, a worker.

The simulator plays the cloud and the people.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import chromium
from tests.support.processes import Crew
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.system, pytest.mark.browser]

ANSWER = ["+918000000101", "+918000000102", "+918000000103"]
REJECTS, IS_NONE = "+918000003020", "+918000003050"
END_MS = 45_000
API = "/console/api/campaigns"


@pytest.fixture
def crew(tmp_path: Path, redis_server: RedisServer) -> Iterator[Crew]:
    settings = {"DIALER_CPS": "8", "SIMULATOR_ANSWER_AFTER_S": "0.2"}
    running = Crew(tmp_path, redis_server.url, workers_wanted=1, has_dialer=True, settings=settings)
    running.write_agent("Hello, this is Parley.")
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def page() -> Iterator[Page]:
    with chromium() as browser:
        opened = browser.new_page()
        opened.set_default_timeout(10_000)
        yield opened


def table_of(*numbers: str) -> str:
    return "to,name\n" + "".join(f"{number},Person {n}\n" for n, number in enumerate(numbers, 1))


def test_a_list_is_called_from_the_page_and_its_results_taken_away(
    crew: Crew, page: Page, tmp_path: Path
) -> None:
    for number in ANSWER:
        person = {"number": number, "outcome": "answer", "hangup_after_s": 1.0}
        httpx.post(f"{crew.simulator_url}/simulator/people", json=person).raise_for_status()
    numbers = [*ANSWER, REJECTS, IS_NONE, ANSWER[0], "12"]
    table = tmp_path / "people.csv"
    table.write_text(table_of(*numbers))

    page.goto(f"{crew.gateways[0].url}/console/#dial/new")
    page.locator("#campaign-table").set_input_files(table)
    page.get_by_label("At any time").check()
    page.get_by_label("Calls at once").fill("3")
    page.get_by_label("Begin to call at once").check()
    page.get_by_role("button", name="Make campaign").click()

    campaign = page.locator(".campaign")
    expect(campaign).to_contain_text("people.csv: 5 added, 1 there already, 1 left out.")
    expect(campaign.locator("tr", has_text="international")).to_have_text(re.compile("^812"))
    expect(campaign.locator(".pill").first).to_have_text("finished", timeout=END_MS)
    key = campaign.locator(".legend li")
    expect(key).to_have_text(["answered 3", "rejected 1", "invalid number 1"])
    with page.expect_download() as taken:
        page.get_by_role("link", name="Results (CSV)").click()
    with Path(taken.value.path()).open(newline="") as file:
        found = {line["to"]: line["outcome"] for line in csv.DictReader(file)}
    assert found == dict.fromkeys(ANSWER, "answered") | {
        REJECTS: "rejected",
        IS_NONE: "invalid_number",
    }
    row = campaign.locator("tr", has_text=ANSWER[1])
    expect(row).to_contain_text("name: Person 2")
    row.get_by_role("link", name=re.compile("^answered")).click()
    expect(page.locator(".one-call")).to_contain_text(ANSWER[1])


def test_a_large_table_is_passed_on_and_one_that_is_none_is_refused_in_words(crew: Crew) -> None:
    """A dialer that shut the door on an unread table had its words lost on their way."""
    gateway = crew.gateways[0]
    numbers = "".join(f"+91800{n:07},Person {n}\n" for n in range(20_000))
    headers = {"content-type": "text/csv"}
    api = httpx.Client(
        base_url=gateway.url,
        headers={"origin": gateway.url},
        timeout=60,
        trust_env=False,
    )
    with api:
        made = api.post(API, json={"name": "Many", "windows": {"always": True}})
        rows = f"{API}/{made.json()['id']}/rows"
        before_mb = gateway.resident_mb
        added = api.post(rows, content=f"to,name\n{numbers}", headers=headers)
        assert added.json()["added"] == 20_000
        assert gateway.resident_mb < before_mb + 10
        for text, words in (
            ("a,b\n" + "1,2\n" * 3_000_000, "there is no column to"),
            ("a,b\n1,2\n", "there is no column to"),
            ('to\n"' + "open\n" * 2_000_000, "line 2:"),
        ):
            refused = api.post(rows, content=text, headers=headers)
            assert refused.status_code == 422
            assert words in refused.json()["problem"]
            assert refused.elapsed.total_seconds() < 2.5  # whatever is sent of it is thrown away


def test_a_campaign_is_held_and_let_go_on_from_the_page(
    crew: Crew, page: Page, tmp_path: Path
) -> None:
    table = tmp_path / "many.csv"
    table.write_text(table_of(*(f"+91800001{n:04}" for n in range(3000))))
    page.goto(f"{crew.gateways[0].url}/console/#dial/new")
    page.locator("#campaign-table").set_input_files(table)
    page.get_by_label("At any time").check()
    page.get_by_label("Calls at once").fill("1")
    page.get_by_role("button", name="Make campaign").click()
    expect(page.locator(".campaign")).to_contain_text("many.csv: 3,000 added.")

    def pull(lever: str, then: str) -> None:
        page.get_by_role("button", name=lever, exact=True).click()
        dialog = page.get_by_role("dialog")
        if dialog.count():
            dialog.get_by_role("button").last.click()
        expect(page.locator(".campaign .pill").first).to_have_text(then)

    pull("Start", "running")
    page.goto(f"{crew.gateways[0].url}/console/#now")
    card = page.locator(".campaigns article", has_text="many")
    expect(card).to_contain_text("of 3,000 done")
    card.get_by_role("link").click()
    pull("Pause", "paused")
    expect(page.locator(".campaign")).to_contain_text("Paused by hand.")
    pull("Resume", "running")
    pull("Cancel", "cancelled")
    # Calls that are up go on to their end, and then it may go.
    expect(page.locator(".figure", has_text="Done").locator("dd")).to_have_text(
        "3,000 of 3,000", timeout=END_MS
    )
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.locator(".campaigns")).to_contain_text("None yet.")
