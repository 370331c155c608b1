"""Campaigns on the page in a real Chromium, over an API that tests hold the strings of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from services.dialer.campaigns.bodies import CampaignBody
from services.dialer.campaigns.judge import PauseRules
from services.dialer.campaigns.retry import RetryRules
from tests.support.browser import serious_violations
from tests.support.console_api import ConsoleApi
from tests.support.console_campaigns import FINISHED, PAUSED, READY, RUNNING
from tests.support.console_page import DESK_WIDTH, PHONE_WIDTH, show

pytestmark = [pytest.mark.system, pytest.mark.browser]

TABLE = "to,name\n+918000010001,Asha\n12,Ravi\n+918000010002,Meera\n"
VIEWS = ["dial", "dial/new", f"dial/{RUNNING}", f"dial/{PAUSED}"]


def lever(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def answer(page: Page, name: str) -> None:
    page.get_by_role("dialog").get_by_role("button", name=name).click()


def choose(page: Page, where: str, text: str) -> None:
    file = FilePayload(name="Renewals.csv", mimeType="text/csv", buffer=text.encode())
    page.locator(where).set_input_files(files=[file])


# --- what is shown ----------------------------------------------------------------------------


def test_campaigns_are_listed_and_lead_to_their_pages(page: Page, api: ConsoleApi) -> None:
    show(page, api, "dial")
    expect(page.locator(".campaigns tbody tr")).to_have_count(4)
    running = page.locator(".campaigns tr", has_text="Renewals, November")
    expect(running).to_contain_text("10,460 of 25,000")
    expect(running).to_contain_text("3 h 2 min")
    running.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Renewals, November")
    expect(page.get_by_role("navigation").locator("[aria-current]")).to_have_text("Dial")


def test_a_campaign_is_drawn_by_what_its_numbers_came_to(page: Page, api: ConsoleApi) -> None:
    show(page, api, f"dial/{RUNNING}")
    bar = page.get_by_role("img", name="10,460 of 25,000 done: 6,120 answered")
    expect(bar.locator(".piece")).to_have_count(7)  # five outcomes, in call, still to call
    answered = bar.locator(".out-answered").bounding_box()
    whole = bar.bounding_box()
    assert answered is not None
    assert whole is not None
    assert answered["width"] / whole["width"] == pytest.approx(6120 / 25_000, abs=0.02)
    figures = page.locator(".figures")
    for label, figure in (("In call", "14"), ("A minute", "96"), ("Ends in", "3 h 2 min")):
        expect(figures.locator(".figure", has_text=label).locator("dd")).to_have_text(figure)
    expect(page.locator(".campaign")).to_contain_text("mon tue wed 10:00–19:00, where the phone is")


def test_a_campaigns_figures_change_while_one_looks(page: Page, api: ConsoleApi) -> None:
    show(page, api, f"dial/{RUNNING}")
    expect(page.locator(".campaign")).to_contain_text("10,460 of 25,000")
    api.campaigns.known[RUNNING] |= {"ended": 10_461, "state": "paused", "reason": "no_balance"}
    expect(page.locator(".campaign")).to_contain_text("10,461 of 25,000")
    expect(page.locator(".campaign")).to_contain_text("the Vobiz account is empty")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()


def test_why_a_campaign_paused_itself_is_said_in_words(page: Page, api: ConsoleApi) -> None:
    show(page, api, f"dial/{PAUSED}")
    expect(page.locator(".campaign")).to_contain_text(
        "It paused itself: 62 % of its newest tries failed"
    )


def test_rows_are_filtered_paged_and_lead_to_their_calls(page: Page, api: ConsoleApi) -> None:
    show(page, api, f"dial/{RUNNING}")
    rows = page.locator(".campaign .list tbody tr")
    expect(rows).to_have_count(25)
    page.get_by_role("button", name="More numbers").click()
    expect(rows).to_have_count(50)
    page.get_by_label("Which numbers").select_option("busy")
    expect(rows.first).to_contain_text("busy")
    assert {row.split("\n")[0] for row in rows.all_inner_texts()} <= {
        f"+91800001{n:04}" for n in range(2, 120, 6)
    }
    assert api.campaigns.asked_rows[-1] == {"outcome": "busy", "limit": "25"}
    page.get_by_label("Which numbers").select_option("do not call")
    expect(page.locator(".campaign")).to_contain_text("No number is like that.")
    # Pages without any were gone through to the last.
    assert api.campaigns.asked_rows[-1] == {
        "outcome": "do_not_call",
        "limit": "25",
        "cursor": "100",
    }
    page.get_by_label("Which numbers").select_option("answered")
    rows.first.get_by_role("link", name=re.compile("^answered")).click()
    expect(page.locator("canvas")).to_be_visible()


def test_now_shows_campaigns_that_run_or_stand_still(page: Page, api: ConsoleApi) -> None:
    show(page, api, "now")
    cards = page.locator(".campaigns article")
    expect(cards).to_have_count(2)
    expect(cards.first).to_contain_text("14 in call · 96 a minute · ends in 3 h 2 min")
    expect(cards.last).to_contain_text("It paused itself")
    api.campaigns.known[RUNNING]["ended"] = 10_500
    expect(cards.first).to_contain_text("10,500 of 25,000")


def test_a_campaign_that_is_not_there_is_said(page: Page, api: ConsoleApi) -> None:
    show(page, api, "dial/c-000000000000")
    expect(page.get_by_role("alert").first).to_have_text("No such campaign.")


# --- what is done -----------------------------------------------------------------------------


def test_a_campaign_is_made_filled_and_started_and_its_bad_rows_are_told(
    page: Page, api: ConsoleApi
) -> None:
    show(page, api, "dial/new")
    choose(page, "#campaign-table", TABLE)
    expect(page.get_by_label("Name", exact=True)).to_have_value("Renewals")
    page.get_by_label("Caller number").fill("+918000000099")
    page.get_by_label("Calls a second").fill("0.5")
    page.get_by_label("From", exact=True).fill("10:30")
    page.get_by_label("Sun").uncheck()
    page.get_by_label("By the clock").fill("Asia/Kolkata")
    page.get_by_label("Begin to call at once").check()
    page.get_by_role("button", name="Make campaign").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Renewals")
    days = {day: [["10:30", "21:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat")}
    made, filled, started = api.campaigns.sent
    assert made == (
        "make",
        {
            "name": "Renewals",
            "agent": "default",
            "from": "+918000000099",
            "cps": 0.5,
            "concurrency": None,
            "windows": {"days": days, "zone": "Asia/Kolkata"},
        },
    )
    assert filled == ("rows", ("skip", TABLE))
    assert started == ("start", "c-00000000000a")
    report = page.locator(".card", has=page.get_by_role("heading", name="The upload"))
    expect(report).to_contain_text("Renewals.csv: 2 added, 1 left out.")
    expect(report.locator("tbody tr")).to_have_text(re.compile("^312.*too short"))


def test_more_rules_begin_as_the_dialer_has_them_and_are_sent_where_they_differ(
    page: Page, api: ConsoleApi
) -> None:
    show(page, api, "dial/new")
    told = page.evaluate("async () => (await import('./static/campaign-rules.js')).DEFAULTS")
    assert told == {
        "priority": CampaignBody(name="x").priority,
        "retry": RetryRules().to_json(),
        "pause_rules": PauseRules().to_json(),
    }
    page.get_by_label("Name", exact=True).fill("Rules")
    expect(page.get_by_label("Priority")).to_be_hidden()
    page.get_by_text("More rules").click()
    expect(page.get_by_label("Busy")).to_have_value("5, 15")
    expect(page.get_by_label("Failed by a fault")).to_have_value("50")
    page.get_by_label("Priority").fill("8")
    page.get_by_label("Answering machines").select_option("hangup")
    page.get_by_label("Calls to a number at most").fill("4")
    page.get_by_label("Busy").fill("0.5, 10; 20")
    page.get_by_label("Nobody answered").fill("")
    page.get_by_label("Refused by the person").fill("1440")
    page.get_by_label("Fewer answered than").fill("5")
    page.get_by_label("Failed by a fault").fill("")
    page.get_by_role("button", name="Make campaign").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Rules")
    sent = api.campaigns.sent[0][1]
    assert (sent["priority"], sent["machine_detection"]) == (8, "hangup")
    after_s = {"busy": [30, 600, 1200], "failed": [120, 600], "rejected": [86_400]}
    assert sent["retry"] == {"max_attempts": 4, "after_s": after_s}
    assert sent["pause_rules"] == {
        "error_rate": None,
        "answer_rate_min": 0.05,
        "answer_rate_max": None,
        "over_last": 50,
    }
    # The next form begins as the first did, its hours too.
    show(page, api, "dial/new")
    assert page.locator("#again-busy").input_value() == "5, 15"
    assert page.locator("#campaign-since").input_value() == "09:00"


@pytest.mark.parametrize(
    ("field", "label"),
    [
        ("retry.max_attempts", "Calls to a number at most"),
        ("retry.after_s", "Busy"),
        ("pause_rules.answer_rate_min", "Fewer answered than"),
        ("from", "Caller number"),
        ("priority", "Priority"),
    ],
)
def test_what_the_dialer_says_of_a_field_is_shown_at_that_field(
    page: Page, api: ConsoleApi, field: str, label: str
) -> None:
    words = f"The order is not sound. {field}: can't be."
    api.campaigns.refuses_new = {"problem": words, "field": field}
    show(page, api, "dial/new")
    page.get_by_label("Name", exact=True).fill("Bad")
    page.get_by_role("button", name="Make campaign").click()
    told = page.get_by_label(label)
    expect(told).to_be_focused()
    expect(told).to_have_attribute("aria-invalid", "true")
    expect(told).to_have_accessible_description(words)
    assert serious_violations(page) == []
    api.campaigns.refuses_new = None
    page.get_by_role("button", name="Make campaign").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Bad")


def test_a_rule_that_can_not_be_read_is_said_at_its_field_and_not_sent(
    page: Page, api: ConsoleApi
) -> None:
    show(page, api, "dial/new")
    page.get_by_label("Name", exact=True).fill("Bad")
    page.get_by_text("More rules").click()
    page.get_by_label("No such number").fill("soon")
    page.get_by_text("More rules").click()
    page.get_by_role("button", name="Make campaign").click()
    expect(page.get_by_label("No such number")).to_be_focused()
    expect(page.locator("#again-invalid_number-problem")).to_contain_text("Write minutes")
    page.get_by_label("No such number").fill("")
    page.get_by_label("Priority").fill("12")  # which the browser itself refuses
    page.get_by_text("More rules").click()
    page.get_by_role("button", name="Make campaign").click()
    expect(page.get_by_label("Priority")).to_be_focused()
    assert api.campaigns.sent == []


def test_a_campaign_that_lacks_rows_says_so_and_asks_before_it_goes_on_without_them(
    page: Page, api: ConsoleApi
) -> None:
    lacks = {"missing": 350, "rows": 600, "is_being_added": False}
    api.campaigns.known[READY] |= {"total": 250, "incomplete": lacks}
    show(page, api, f"dial/{READY}")
    expect(page.locator(".campaign")).to_contain_text("350 of 600 rows of a list are missing")
    expect(page.locator(".campaign")).to_contain_text("Add the same table again.")
    lever(page, "Start")
    expect(page.get_by_role("dialog")).to_contain_text("Start with the 250 that are there")
    answer(page, "Leave it")
    assert api.campaigns.sent == []
    lever(page, "Start")
    answer(page, "Start")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert api.campaigns.sent == [("start", f"{READY} as it is")]


def test_what_the_dialer_refuses_is_shown_on_the_page_of_the_campaign_that_was_made(
    page: Page, api: ConsoleApi
) -> None:
    bad = [{"line": 3, "number": "12", "problem": "to: is too short"}]
    api.campaigns.refusal = {
        "problem": "The list has bad rows. 1 rows are bad; nothing was added.",
        "bad_rows": bad,
        "refused": 1,
    }
    show(page, api, "dial/new")
    choose(page, "#campaign-table", TABLE)
    page.get_by_label("At any time").check()
    page.get_by_label("Refuse the whole table").check()
    page.get_by_label("Begin to call at once").check()
    page.get_by_role("button", name="Make campaign").click()
    expect(page.locator(".campaign")).to_contain_text("nothing was added")
    expect(page.locator(".campaign")).to_contain_text("to: is too short")
    assert [kind for kind, _ in api.campaigns.sent] == ["make", "rows"]  # and nothing is started
    assert api.campaigns.sent[0][1]["windows"] == {"always": True}
    assert api.campaigns.sent[1][1] == ("refuse", TABLE)


def test_numbers_are_added_by_dropping_a_table_on_the_page(page: Page, api: ConsoleApi) -> None:
    api.campaigns.pause_s = 0.5
    show(page, api, f"dial/{READY}")
    expect(page.locator(".campaign")).to_contain_text("0 of 120")
    dropped = page.evaluate_handle(
        """(text) => {
          const data = new DataTransfer();
          data.items.add(new File([text], "more.csv", { type: "text/csv" }));
          return data;
        }""",
        TABLE,
    )
    zone = page.locator(".campaign .drop")
    zone.dispatch_event("dragover", {"dataTransfer": dropped})
    expect(zone).to_have_class(re.compile("is-over"))
    zone.dispatch_event("drop", {"dataTransfer": dropped})
    expect(page.get_by_role("progressbar", name="Upload")).to_have_attribute("aria-valuenow", "100")
    expect(page.locator(".campaign")).to_contain_text("more.csv: 2 added, 1 left out.")
    expect(page.locator(".campaign")).to_contain_text("0 of 122")
    expect(page.get_by_role("progressbar", name="Upload")).to_be_hidden()


def test_how_much_of_a_large_table_is_sent_is_shown_meanwhile(
    page: Page, api: ConsoleApi, tmp_path: Path
) -> None:
    table = tmp_path / "large.csv"
    table.write_text("to,name\n" + "+918000010001,Asha of the long name\n" * 250_000)
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    speed = {"offline": False, "latency": 0, "downloadThroughput": -1}
    network.send("Network.emulateNetworkConditions", speed | {"uploadThroughput": 12_000_000})
    show(page, api, f"dial/{READY}")
    page.evaluate(
        """() => {
          window.seen = [];
          new MutationObserver(([{ target }]) => window.seen.push(Number(target.ariaValueNow)))
            .observe(document.querySelector("[role=progressbar]"), { attributes: true });
        }"""
    )
    page.locator("#more-numbers").set_input_files(table)
    expect(page.locator(".campaign")).to_contain_text("250,000 added", timeout=15_000)
    network.detach()
    seen = page.evaluate("() => window.seen")
    assert seen == sorted(seen)
    assert any(5 < percent < 95 for percent in seen), seen


def test_what_is_no_text_is_not_sent(page: Page, api: ConsoleApi) -> None:
    show(page, api, f"dial/{READY}")
    choose(page, "#more-numbers", "PK\x03\x04\0\0 a workbook")
    expect(page.locator(".campaign")).to_contain_text("That is no text in UTF-8.")
    assert api.campaigns.sent == []


def test_a_campaign_is_started_paused_resumed_and_cancelled(page: Page, api: ConsoleApi) -> None:
    show(page, api, f"dial/{READY}")
    lever(page, "Start")
    expect(page.get_by_role("dialog")).to_contain_text("Begin to call 120 numbers?")
    answer(page, "Leave it")
    assert api.campaigns.sent == []
    lever(page, "Start")
    answer(page, "Start")
    expect(page.get_by_role("button", name="Pause")).to_be_focused()
    lever(page, "Pause")
    expect(page.locator(".campaign")).to_contain_text("Paused by hand.")
    expect(page.get_by_role("button", name="Resume")).to_be_focused()
    lever(page, "Resume")
    lever(page, "Cancel")
    answer(page, "Cancel campaign")
    expect(page.get_by_role("button", name="Remove")).to_be_focused()
    expect(page.get_by_role("heading", name="Add numbers")).to_be_hidden()
    assert [verb for verb, _ in api.campaigns.sent] == ["start", "pause", "resume", "cancel"]


def test_a_campaign_that_is_over_is_removed_once_that_was_confirmed(
    page: Page, api: ConsoleApi
) -> None:
    show(page, api, f"dial/{FINISHED}")
    lever(page, "Remove")
    answer(page, "Remove")
    expect(page.locator(".campaigns tbody tr")).to_have_count(3)
    assert api.campaigns.sent == [("remove", FINISHED)]


# --- for everybody ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "width_px"),
    [
        ("dark", PHONE_WIDTH),
        ("light", DESK_WIDTH),
        pytest.param("dark", DESK_WIDTH, marks=pytest.mark.soak),
        pytest.param("light", PHONE_WIDTH, marks=pytest.mark.soak),
    ],
)
def test_no_view_of_campaigns_has_a_fault_of_accessibility_or_is_wider_than_its_screen(
    browser: Browser, api: ConsoleApi, scheme: str, width_px: int
) -> None:
    context = browser.new_context(
        viewport={"width": width_px, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    page = context.new_page()
    found: dict[str, list[str]] = {}
    widths = {}
    for view in (*VIEWS, "now"):
        show(page, api, view)
        page.locator("main .card").first.wait_for()
        page.wait_for_timeout(150)
        found[view] = serious_violations(page)
        widths[view] = page.evaluate("() => document.documentElement.scrollWidth")
    show(page, api, "dial/new")
    page.get_by_text("More rules").click()
    page.get_by_label("Priority").wait_for()
    found["more rules"] = serious_violations(page)
    widths["more rules"] = page.evaluate("() => document.documentElement.scrollWidth")
    show(page, api, f"dial/{READY}")
    choose(page, "#more-numbers", TABLE)
    page.get_by_role("heading", name="The upload").wait_for()
    lever(page, "Start")
    found["a report, asked for"] = serious_violations(page)
    context.close()
    assert {view: faults for view, faults in found.items() if faults} == {}
    assert set(widths.values()) == {width_px}, widths


def test_a_campaign_is_made_by_keyboard_alone(page: Page, api: ConsoleApi) -> None:
    show(page, api, "dial")
    new = page.get_by_role("link", name="New campaign")
    new.wait_for()
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("() => document.activeElement.textContent.trim()"))
        if reached[-1] == "New campaign":
            break
    assert reached[-1] == "New campaign"
    page.keyboard.press("Enter")
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.type("By hand")
    ids = []
    for _ in range(30):
        page.keyboard.press("Tab")
        ids.append(page.evaluate("() => document.activeElement.id || document.activeElement.type"))
        if ids[-1] == "submit":
            break
    assert {"campaign-agent", "day-sun", "campaign-always", "campaign-table"} <= set(ids)
    assert "campaign-priority" not in ids  # shut away, until it is asked for
    page.get_by_text("More rules").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Priority")).to_be_focused()
    page.keyboard.type("7")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Answering machines")).to_be_focused()
    outline = page.evaluate(
        "() => { document.getElementById('campaign-table').focus();"
        " return getComputedStyle(document.querySelector('.drop')).outlineStyle; }"
    )
    assert outline == "solid"
    page.get_by_role("button", name="Make campaign").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("By hand")
    assert api.campaigns.sent[0][1]["windows"] == {"daily": [["09:00", "21:00"]]}
