"""The commands against a stand-in for the dialer: what they ask, and what they show."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from services.dialer.cli.settings import CliSettings
from tests.support.dialer_cli import COLUMNS, Ran, run_command
from tests.support.scripted_dialer import ScriptedDialer

CALL_ID = "5e3f1c0a-4d52-4b0f-9d4e-0d6a51e1f4b7"
TO, FROM = "+918000000002", "+918000000001"
RECORD: dict[str, Any] = {
    "call_id": CALL_ID,
    "call_uuid": None,
    "direction": "outbound",
    "state": "no-answer",
    "from_number": FROM,
    "to_number": TO,
    "agent": "renewals",
    "created_at": "2026-11-26T09:00:00.123+00:00",
    "end_reason": "no_answer",
    "duration_s": 0.0,
    "metadata": {"lead": "42"},
}
CAMPAIGN: dict[str, Any] = {
    "id": "c-5e3f1c0a4d52",
    "name": "Renewals, November",
    "agent": "renewals",
    "state": "running",
    "reason": None,
    "priority": 5,
    "cps": 2.0,
    "concurrency": 20,
    "created_at": "2026-11-26T09:00:00.000+00:00",
    "total": 100_000,
    "waiting": 99_000,
    "dialling": 12,
    "in_call": 8,
    "ended": 980,
    "outcomes": {"answered": 700, "no_answer": 280, "busy": 0},
    "estimate_s": 7500,
}
ROW: dict[str, Any] = {
    "n": 100_000,
    "to": "+918000000002",
    "state": "waiting",
    "outcome": None,
    "attempts": 1,
    "call_id": CALL_ID,
    "due_at": "2026-11-26T09:35:00.000+00:00",
}
ROWS = "to,name\n" + f"{TO},Asha\n" * 20_000
BAD_ROW = {"line": 17, "number": "+9180000", "problem": "to: is too short, or no number there"}

Run: TypeAlias = Callable[..., Awaitable[Ran]]


@pytest.fixture
def dialer() -> ScriptedDialer:
    return ScriptedDialer()


@pytest.fixture
async def run(dialer: ScriptedDialer) -> AsyncIterator[Run]:
    async with dialer.client() as http:

        async def run(*arguments: str, **options: Any) -> Ran:
            ran = await run_command(*arguments, http=http, **options)
            assert ran.widest <= COLUMNS, ran.out
            return ran

        yield run


# --- calls --------------------------------------------------------------------------------------


async def test_a_call_is_ordered_with_all_that_was_said(dialer: ScriptedDialer, run: Run) -> None:
    dialer.on("POST /v1/calls", RECORD, status=201)
    ran = await run(
        *("call", "--to", TO, "--from", FROM, "--agent", "renewals"),
        *("--var", "name=Asha", "--var", "plan=a=b", "--metadata", "lead=42"),
        *("--ring-timeout-s", "30", "--time-limit-s", "600", "--idempotency-key", "order-1"),
        *("--machine-detection", "detect", "--machine-detection-sync"),
    )
    assert ran.status == 0
    assert f"Calling {TO} from {FROM}." in ran.out
    assert CALL_ID in ran.out
    (asked,) = dialer.asked
    assert asked.headers["idempotency-key"] == "order-1"
    assert asked.json == {
        "to": TO,
        "from": FROM,
        "agent": "renewals",
        "variables": {"name": "Asha", "plan": "a=b"},
        "metadata": {"lead": "42"},
        "ring_timeout_s": 30,
        "time_limit_s": 600,
        "machine_detection": {"mode": "detect", "sync": True},
    }


async def test_every_call_has_a_key_of_its_own(dialer: ScriptedDialer, run: Run) -> None:
    dialer.on("POST /v1/calls", RECORD, status=201)
    settings = CliSettings(to_number=TO)
    for _ in range(2):
        assert (await run("call", settings=settings)).status == 0
    first, second = (asked.headers["idempotency-key"] for asked in dialer.asked)
    assert first != second
    assert dialer.asked[0].json == {"to": TO}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("call",), "Whom to call?"),
        (("call", "--to", TO, "--var", "name"), "--var wants KEY=VALUE"),
        (("call", "--to", TO, "--machine-detection-sync"), "--machine-detection"),
        (("campaign", "change", "c-1"), "What to change?"),
        (("campaign", "create", "/nowhere/rows.csv"), "can't be read"),
        (("campaign", "create", "--window", "9-5"), "--window wants hours"),
        (("campaign", "create", "--window", "someday=09:00-10:00"), "knows the days"),
        (("campaign", "create", "--retry-after", "busy=soon"), "wants seconds"),
        (("campaign", "create", "--any-time", "--zone", "Asia/Kolkata"), "no room"),
        (("calls", "speak", CALL_ID, " "), "nothing to say"),
    ],
)
async def test_wrong_use_is_said_before_anything_is_asked(
    dialer: ScriptedDialer, run: Run, arguments: tuple[str, ...], words: str
) -> None:
    ran = await run(*arguments)
    assert ran.status == 2
    assert words in ran.err
    assert ran.err.count("\n") == 1
    assert dialer.asked == []


async def test_a_refusal_is_one_line_made_of_the_problem(dialer: ScriptedDialer, run: Run) -> None:
    dialer.refuse("POST /v1/calls", 429, "at-limit", "All channels are in use.", retry_after_s=3)
    ran = await run("call", "--to", TO)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "Error: All channels are in use. Try again in 3 s.\n"


@pytest.mark.parametrize(
    ("status", "extra"),
    [(504, {}), (502, {"verdict": "platform_error"}), (504, {"verdict": "outcome_unknown"})],
)
async def test_what_may_have_been_dialled_has_a_status_of_its_own(
    dialer: ScriptedDialer, run: Run, status: int, extra: dict[str, str]
) -> None:
    dialer.refuse("POST /v1/calls", status, "x", "Vobiz's answer was lost.", **extra)
    assert (await run("call", "--to", TO)).status == 3


async def test_a_text_of_others_can_do_nothing_to_the_terminal(
    dialer: ScriptedDialer, run: Run
) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J[bold]x\nnext"
    dialer.on(f"GET /v1/calls/{CALL_ID}", RECORD | {"metadata": {"note": evil}})
    ran = await run("calls", "show", CALL_ID)
    assert "\x1b" not in ran.out
    assert "[bold]x next" in ran.out
    dialer.refuse("GET /v1/calls/x", 404, "unknown-call", evil)
    assert "\x1b" not in (await run("calls", "show", "x")).err


async def test_calls_are_listed_by_pages_with_their_filters(
    dialer: ScriptedDialer, run: Run
) -> None:
    pages = [{"calls": [RECORD] * 100, "next": "a"}, {"calls": [RECORD] * 30, "next": "b"}]
    dialer.on("GET /v1/calls", *pages)
    ran = await run("calls", "list", "--limit", "130", "--state", "busy", "--to", TO)
    assert ran.out.count(CALL_ID) == 130
    assert ran.err == "There are more: --cursor b\n"
    first, second = (asked.query for asked in dialer.asked)
    assert first == {"state": "busy", "to": TO, "limit": "100"}
    assert second == {"state": "busy", "to": TO, "limit": "30", "cursor": "a"}
    head, row = ran.out.splitlines()[:2]
    assert head.split() == ["call", "with", "state", "created"]
    assert row.split() == [CALL_ID, TO, "no-answer", "11-26", "09:00"]


async def test_a_record_is_shown_without_its_empty_fields(dialer: ScriptedDialer, run: Run) -> None:
    dialer.on(f"GET /v1/calls/{CALL_ID}", RECORD)
    ran = await run("calls", "show", CALL_ID)
    assert "2026-11-26 09:00:00" in ran.out
    assert "lead=42" in ran.out
    assert "uuid" not in ran.out


async def test_calls_that_are_up_are_acted_on(dialer: ScriptedDialer, run: Run) -> None:
    base = f"/v1/calls/{CALL_ID}"
    dialer.on(f"DELETE {base}", None)
    for action in ("transfer", "dtmf", "speak"):
        dialer.on(f"POST {base}/{action}", {}, status=202)
    assert (await run("calls", "hang-up", CALL_ID)).out == "Hung up.\n"
    await run("calls", "transfer", CALL_ID, "--to", TO)
    await run("calls", "transfer", CALL_ID, "--to-url", "https://voice.example.com/x")
    await run("calls", "dtmf", CALL_ID, "1w2#")
    await run("calls", "speak", CALL_ID, "Good morning", "--language", "en-US")
    assert [asked.json for asked in dialer.asked[1:]] == [
        {"to": TO},
        {"url": "https://voice.example.com/x"},
        {"digits": "1w2#"},
        {"text": "Good morning", "language": "en-US"},
    ]


async def test_an_id_cannot_lead_to_another_path(dialer: ScriptedDialer, run: Run) -> None:
    await run("calls", "hang-up", "../keys/1?x=1")
    assert dialer.asked[0].path == "/v1/calls/..%2Fkeys%2F1%3Fx%3D1"


async def test_without_a_dialer_it_says_so() -> None:
    ran = await run_command("calls", "list")
    assert ran.status == 1
    assert (
        ran.err == "Error: No dialer answers at http://127.0.0.1:9: start it, or set DIALER_URL.\n"
    )


# --- campaigns ----------------------------------------------------------------------------------


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    path = tmp_path / "renewals.csv"
    path.write_text(ROWS)
    return path


def accept_rows(dialer: ScriptedDialer, **answer: Any) -> str:
    base = f"/v1/campaigns/{CAMPAIGN['id']}"
    dialer.on("POST /v1/campaigns", {**CAMPAIGN, "state": "ready", "total": 0}, status=201)
    added = {"added": 20_000, "duplicates": 12, "refused": 1, "bad_rows": [BAD_ROW]}
    dialer.on(f"POST {base}/rows", added | answer)
    dialer.on(f"POST {base}/start", CAMPAIGN)
    return base


async def test_a_campaign_is_made_filled_as_the_file_is_read_and_started(
    dialer: ScriptedDialer, run: Run, rows_file: Path
) -> None:
    base = accept_rows(dialer)
    ran = await run(
        *("campaign", "create", str(rows_file), "--agent", "renewals", "--start", "--cps", "2"),
        *("--window", "mon-fri=09:00-18:00", "--window", "sat,sun=10:00-12:00"),
        *("--holiday", "2026-12-25", "--retry-after", "busy=300,900", "--max-attempts", "2"),
        *("--pause-error-rate", "0.4", "--var", "brand=Parley", "--on-bad-row", "skip"),
    )
    assert ran.status == 0, ran.err
    made, filled, started = dialer.asked
    weekday, weekend = [["09:00", "18:00"]], [["10:00", "12:00"]]
    assert made.json == {
        "name": "renewals",
        "agent": "renewals",
        "variables": {"brand": "Parley"},
        "cps": 2.0,
        "windows": {
            "days": {
                **dict.fromkeys(("mon", "tue", "wed", "thu", "fri"), weekday),
                **dict.fromkeys(("sat", "sun"), weekend),
            },
            "holidays": ["2026-12-25"],
        },
        "retry": {"max_attempts": 2, "after_s": {"busy": [300, 900]}},
        "pause_rules": {"error_rate": 0.4},
    }
    assert filled.path == f"{base}/rows"
    assert filled.query == {"on_bad_row": "skip"}
    assert filled.headers["content-type"].startswith("text/csv")
    assert filled.body == ROWS.encode()
    assert max(len(part) for part in filled.parts) <= 65_536
    assert started.path == f"{base}/start"
    assert "17" in ran.out
    assert "+9180000" in ran.out
    assert ran.out.endswith(
        "Campaign c-5e3f1c0a4d52, running: 20000 rows, 12 duplicates left out, 1 refused.\n"
    )


async def test_refused_rows_leave_no_campaign_behind(
    dialer: ScriptedDialer, run: Run, rows_file: Path
) -> None:
    base = accept_rows(dialer)
    refused = {"bad_rows": [BAD_ROW], "refused": 1}
    dialer.refuse(f"POST {base}/rows", 422, "bad-rows", "1 row can't be used.", **refused)
    dialer.on(f"POST {base}/cancel", {**CAMPAIGN, "state": "cancelled"})
    dialer.on(f"DELETE {base}", None)
    ran = await run("campaign", "create", str(rows_file), "--on-bad-row", "refuse", "--start")
    assert ran.status == 1
    assert "+9180000" in ran.out
    assert ran.err == "Error: 1 row can't be used.\n"
    done = [f"{asked.method} {asked.path}" for asked in dialer.asked]
    assert done[2:] == [f"POST {base}/cancel", f"DELETE {base}"]


async def test_a_campaign_that_is_not_started_is_named(
    dialer: ScriptedDialer, run: Run, rows_file: Path
) -> None:
    base = accept_rows(dialer)
    dialer.refuse(f"POST {base}/start", 503, "records-unavailable", "Redis does not answer.")
    ran = await run("campaign", "create", str(rows_file), "--start")
    assert ran.status == 1
    assert "c-5e3f1c0a4d52 is made, and not started" in ran.err
    assert ran.err.count("\n") == 1


async def test_a_spec_file_holds_what_options_do_not_say(
    dialer: ScriptedDialer, run: Run, tmp_path: Path
) -> None:
    dialer.on("POST /v1/campaigns", {**CAMPAIGN, "state": "ready", "total": 0}, status=201)
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"name": "From the file", "cps": 9, "require_free_agent": False}))
    settings = CliSettings(from_number=FROM)
    assert (
        await run("campaign", "create", "--spec", str(spec), "--cps", "1", settings=settings)
    ).status == 0
    assert dialer.asked[0].json == {
        "name": "From the file",
        "from": FROM,
        "cps": 1.0,
        "require_free_agent": False,
    }


async def test_rows_are_added_to_a_campaign(
    dialer: ScriptedDialer, run: Run, rows_file: Path
) -> None:
    accept_rows(dialer, bad_rows=[], refused=0)
    ran = await run("campaign", "add", CAMPAIGN["id"], str(rows_file))
    assert ran.out == "20000 rows, 12 duplicates left out.\n"


@pytest.mark.parametrize("verb", ["start", "pause", "resume", "cancel"])
async def test_a_campaign_is_moved(dialer: ScriptedDialer, run: Run, verb: str) -> None:
    dialer.on(f"POST /v1/campaigns/{CAMPAIGN['id']}/{verb}", CAMPAIGN)
    ran = await run("campaign", verb, CAMPAIGN["id"])
    assert (ran.status, ran.out) == (0, "Renewals, November: running.\n")


async def test_a_campaign_that_lacks_rows_says_so_and_goes_on_where_that_is_accepted(
    dialer: ScriptedDialer, run: Run
) -> None:
    base = f"/v1/campaigns/{CAMPAIGN['id']}"
    lacks = {"missing": 350, "rows": 600, "is_being_added": False}
    paused = {"state": "paused", "reason": "incomplete_list", "incomplete": lacks}
    dialer.on(f"GET {base}", CAMPAIGN | paused, CAMPAIGN | paused | {"state": "cancelled"})
    words = "350 of 600 rows of a list are missing: send the list again"
    assert words in (await run("campaign", "show", CAMPAIGN["id"])).out
    dialer.on(f"GET {base}", CAMPAIGN | paused, CAMPAIGN | {"state": "cancelled"})
    watched = await run("campaign", "watch", CAMPAIGN["id"], "--every-s", "0.1")
    assert "paused: 350 rows missing\n" in watched.out
    lacks["is_being_added"] = True
    dialer.on(f"GET {base}", CAMPAIGN | {"incomplete": lacks}, CAMPAIGN | {"state": "cancelled"})
    watched = await run("campaign", "watch", CAMPAIGN["id"], "--every-s", "0.1")
    assert "left, 350 rows missing\n" in watched.out
    dialer.on(f"GET {base}", CAMPAIGN | {"incomplete": lacks})
    assert "and are being added" in (await run("campaign", "show", CAMPAIGN["id"])).out
    for verb in ("start", "resume"):
        dialer.on(f"POST {base}/{verb}", CAMPAIGN)
        await run("campaign", verb, CAMPAIGN["id"], "--accept-incomplete")
        assert dialer.asked[-1].query == {"accept_incomplete": "true"}


async def test_a_campaigns_pace_is_changed(dialer: ScriptedDialer, run: Run) -> None:
    dialer.on(f"PATCH /v1/campaigns/{CAMPAIGN['id']}", CAMPAIGN)
    ran = await run("campaign", "change", CAMPAIGN["id"], "--cps", "0.5", "--any-time")
    assert ran.out == "Changed: cps, windows.\n"
    assert dialer.asked[0].json == {"cps": 0.5, "windows": {"always": True}}


async def test_campaigns_rows_and_their_figures_fit_the_screen(
    dialer: ScriptedDialer, run: Run
) -> None:
    long = CAMPAIGN | {"name": "A campaign of a name so long that nobody would give it"}
    dialer.on("GET /v1/campaigns", {"campaigns": [CAMPAIGN, long], "next": None})
    base = f"/v1/campaigns/{CAMPAIGN['id']}"
    dialer.on(f"GET {base}", CAMPAIGN)
    dialer.on(f"GET {base}/rows", {"rows": [ROW], "next": None})
    listed = await run("campaign", "list", "--state", "running")
    assert dialer.asked[0].query["state"] == "running"
    assert [word in listed.out for word in ("c-5e3f1c0a4d52", "980", "100000")] == [True] * 3
    shown = (await run("campaign", "show", CAMPAIGN["id"])).out
    assert "answered 700, no_answer 280" in shown
    assert "2 h 05 min" in shown
    rows = (await run("campaign", "rows", CAMPAIGN["id"], "--outcome", "busy")).out
    assert rows.splitlines()[1].split() == ["100000", TO, "waiting", "1", "11-26", "09:35"]


async def test_results_are_written_as_they_come(
    dialer: ScriptedDialer, run: Run, tmp_path: Path
) -> None:
    table = "to,outcome\r\n+918000000002,answered\r\n"
    dialer.on(f"GET /v1/campaigns/{CAMPAIGN['id']}/results.csv", table)
    assert (await run("campaign", "results", CAMPAIGN["id"])).out == table
    path = tmp_path / "results.csv"
    ran = await run("campaign", "results", CAMPAIGN["id"], "-o", str(path))
    assert (ran.out, path.read_bytes()) == ("", table.encode())
    missing = await run("campaign", "results", "c-0", "-o", str(tmp_path / "none.csv"))
    assert missing.status == 1
    assert not (tmp_path / "none.csv").exists()


STATES: list[dict[str, Any]] = [
    CAMPAIGN | {"ended": 1, "total": 3},
    CAMPAIGN | {"ended": 1, "total": 3},
    CAMPAIGN | {"ended": 2, "total": 3, "state": "paused", "reason": "error_rate"},
    CAMPAIGN | {"ended": 3, "total": 3, "state": "finished", "in_call": 0, "dialling": 0},
]


async def test_watching_tells_each_change_until_the_end(dialer: ScriptedDialer, run: Run) -> None:
    dialer.on(f"GET /v1/campaigns/{CAMPAIGN['id']}", *STATES)
    ran = await run("campaign", "watch", CAMPAIGN["id"], "--every-s", "0.1")
    assert ran.status == 0
    assert ran.out.splitlines() == [
        "running  1/3 ended, 20 up, 2 h 05 min left",
        "paused  2/3 ended, paused: error_rate",
        "finished  3/3 ended, 0 up, 2 h 05 min left",
        "finished: answered 700, no_answer 280",
    ]


async def test_a_program_watches_by_lines_of_json(dialer: ScriptedDialer, run: Run) -> None:
    dialer.on(f"GET /v1/campaigns/{CAMPAIGN['id']}", *STATES)
    async with dialer.client() as http:
        ran = await run_command(
            "campaign", "watch", CAMPAIGN["id"], "--every-s", "0.1", "--json", http=http
        )
    states = [json.loads(line)["state"] for line in ran.out.splitlines()]
    assert states == ["running", "paused", "finished"]


async def test_a_bar_is_drawn_where_somebody_looks_on(dialer: ScriptedDialer, run: Run) -> None:
    dialer.on(f"GET /v1/campaigns/{CAMPAIGN['id']}", *STATES)
    ran = await run("campaign", "watch", CAMPAIGN["id"], "--every-s", "0.1", is_terminal=True)
    assert "3/3" in ran.err
    large = CAMPAIGN | {"state": "finished", "ended": 1_000_000, "total": 1_000_000}
    dialer.on(f"GET /v1/campaigns/{CAMPAIGN['id']}", large)
    again = await run("campaign", "watch", CAMPAIGN["id"], is_terminal=True)
    assert "1000000/1000000" in again.err
    assert "1/3 ended" not in ran.out


async def test_a_cancelled_campaign_is_told_from_a_finished_one(
    dialer: ScriptedDialer, run: Run
) -> None:
    dialer.on(f"GET /v1/campaigns/{CAMPAIGN['id']}", CAMPAIGN | {"state": "cancelled"})
    assert (await run("campaign", "watch", CAMPAIGN["id"])).status == 4


async def test_a_campaign_is_removed(dialer: ScriptedDialer, run: Run) -> None:
    dialer.on(f"DELETE /v1/campaigns/{CAMPAIGN['id']}", None)
    assert (await run("campaign", "remove", CAMPAIGN["id"])).out == "Removed.\n"


# --- the do-not-call list, keys, the trail, the account -------------------------------------------


async def test_the_do_not_call_list_is_kept(
    dialer: ScriptedDialer, run: Run, tmp_path: Path
) -> None:
    entry = {"number": TO, "reason": "asked", "at": "2026-11-26T09:00:00+00:00", "by": "shop"}
    added = {"added": 1, "already": 1, "refused": 0, "bad_rows": []}
    dialer.on("POST /v1/do-not-call", added)
    dialer.on("GET /v1/do-not-call", {"numbers": [entry], "next": None})
    dialer.on("GET /v1/do-not-call/%2B918000000002", entry)
    dialer.on("DELETE /v1/do-not-call/%2B918000000002", None)
    ran = await run("dnc", "add", TO, FROM, "--reason", "asked")
    assert ran.out == "1 added, 1 already there.\n"
    assert dialer.asked[0].json == {"numbers": [TO, FROM], "reason": "asked"}
    path = tmp_path / "list.csv"
    path.write_text(f"number\n{TO}\n")
    assert (await run("dnc", "import", str(path))).status == 0
    assert dialer.asked[1].body == path.read_bytes()
    assert TO in (await run("dnc", "list")).out
    listed = await run("dnc", "check", TO)
    assert (listed.status, listed.out) == (
        4,
        f"{TO} is on the list since 2026-11-26 09:00:00: asked.\n",
    )
    free = await run("dnc", "check", FROM)
    assert (free.status, free.out) == (0, f"{FROM} is not on the list.\n")
    assert (await run("dnc", "remove", TO)).out == f"{TO} may be called again.\n"


async def test_a_list_that_cannot_be_reached_is_not_taken_for_an_empty_one(
    dialer: ScriptedDialer, run: Run
) -> None:
    dialer.refuse("GET /v1/do-not-call/%2B918000000002", 503, "records-unavailable", "No Redis.")
    ran = await run("dnc", "check", TO)
    assert (ran.status, ran.out) == (1, "")


KEY = {
    "id": "3f9a0c4d1b2e",
    "name": "shop",
    "scopes": ["calls:read", "calls:write"],
    "rate_per_minute": 60,
    "created_at": "2026-11-26T09:00:00+00:00",
    "revoked_at": None,
}


async def test_keys_are_made_shown_once_listed_and_revoked(
    dialer: ScriptedDialer, run: Run
) -> None:
    dialer.on("POST /v1/keys", {**KEY, "key": "parley_3f9a0c4d1b2e_secret"}, status=201)
    dialer.on("GET /v1/keys", {"keys": [KEY, {**KEY, "scopes": ["x:y"] * 8}], "next": None})
    dialer.on("DELETE /v1/keys/3f9a0c4d1b2e", None)
    ran = await run("keys", "create", "shop", "--scope", "calls:read", "--rate-per-minute", "60")
    assert "parley_3f9a0c4d1b2e_secret" in ran.out
    assert dialer.asked[0].json == {
        "name": "shop",
        "scopes": ["calls:read"],
        "rate_per_minute": 60,
    }
    assert "3f9a0c4d1b2e" in (await run("keys", "list")).out
    assert (await run("keys", "revoke", "3f9a0c4d1b2e")).out == "Revoked.\n"


async def test_the_trail_and_the_account_are_shown(dialer: ScriptedDialer, run: Run) -> None:
    entry = {
        "at": "2026-11-26T09:00:00.000+00:00",
        "principal": "shop",
        "action": "POST /v1/campaigns/{campaign_id}/start",
        "subject": CALL_ID,
        "status": 201,
    }
    dialer.on("GET /v1/audit", {"entries": [entry], "next": "1-0"})
    dialer.on(
        "GET /v1/account", {"balance": 120.5, "currency": "INR", "concurrency": 20, "in_use": 0}
    )
    trail = await run("audit", "--limit", "1")
    assert "2026-11-26 09:00:00  shop  POST campaigns/start" in trail.out
    assert "--cursor 1-0" in trail.err
    account = await run("account")
    assert account.out.split("\n") == [
        "balance        120.50 INR",
        "calls at once  20",
        "in use         0",
        "",
    ]


@pytest.mark.parametrize(
    ("request_line", "document", "arguments"),
    [
        ("GET /v1/calls", {"calls": [RECORD], "next": None}, ("calls", "list")),
        (f"GET /v1/calls/{CALL_ID}", RECORD, ("calls", "show", CALL_ID)),
        ("POST /v1/calls", RECORD, ("call", "--to", TO)),
        ("GET /v1/campaigns", {"campaigns": [CAMPAIGN], "next": None}, ("campaign", "list")),
        ("GET /v1/campaigns/c-1", CAMPAIGN, ("campaign", "show", "c-1")),
        ("POST /v1/campaigns/c-1/pause", CAMPAIGN, ("campaign", "pause", "c-1")),
        ("GET /v1/campaigns/c-1/rows", {"rows": [ROW], "next": None}, ("campaign", "rows", "c-1")),
        ("GET /v1/keys", {"keys": [KEY], "next": None}, ("keys", "list")),
        ("GET /v1/audit", {"entries": [], "next": None}, ("audit",)),
        ("GET /v1/account", {"balance": 1.5}, ("account",)),
        ("GET /v1/do-not-call", {"numbers": [], "next": None}, ("dnc", "list")),
    ],
)
async def test_programs_get_the_documents_as_they_are(
    dialer: ScriptedDialer, request_line: str, document: Any, arguments: tuple[str, ...]
) -> None:
    dialer.on(request_line, document)
    async with dialer.client() as http:
        ran = await run_command(*arguments, "--json", http=http)
    assert (ran.status, ran.err) == (0, "")
    assert json.loads(ran.out) == document


@pytest.mark.parametrize(
    ("request_line", "document", "arguments"),
    [
        ("GET /v1/calls", {"calls": [RECORD | {"to_number": "+1" + "2" * 14}]}, ("calls", "list")),
        (
            "GET /v1/campaigns",
            {"campaigns": [CAMPAIGN | {"name": "n" * 100}]},
            ("campaign", "list"),
        ),
        ("GET /v1/campaigns/c-1/rows", {"rows": [ROW]}, ("campaign", "rows", "c-1")),
        ("GET /v1/keys", {"keys": [KEY | {"scopes": ["campaigns:write"] * 8}]}, ("keys", "list")),
        (
            "GET /v1/do-not-call",
            {"numbers": [{"number": TO, "reason": "r" * 300}]},
            ("dnc", "list"),
        ),
    ],
)
async def test_a_terminal_of_80_columns_takes_every_table(
    dialer: ScriptedDialer, request_line: str, document: Any, arguments: tuple[str, ...]
) -> None:
    dialer.on(request_line, document)
    async with dialer.client() as http:
        ran = await run_command(*arguments, http=http, is_terminal=True)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", ran.out).splitlines()
    assert len(lines) >= 3
    assert set(lines[1].strip()) == {"\N{BOX DRAWINGS LIGHT HORIZONTAL}"}
    assert max(len(line) for line in lines) <= COLUMNS
