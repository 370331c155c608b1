from __future__ import annotations

from dataclasses import replace

import pytest

from services.dialer.cli.gateway_urls import webhooks_of
from services.dialer.cli.setup_plan import Change, NotPossible, Wanted, hide_secret, make_plan
from shared.vobiz.setup_answers import Application, OwnedNumber

NUMBER = "+918000000001"
SECRET = "an-unguessable-first-part"
WANTED = Wanted("parley", webhooks_of("https://voice.example.com", SECRET))
PRESENT = Application(
    app_id="17",
    name="parley",
    answer_url=WANTED.webhooks.answer,
    hangup_url=WANTED.webhooks.hangup,
    fallback_answer_url=WANTED.webhooks.fallback,
)
SHOP = Application(app_id="18", name="shop", answer_url="https://shop.example.com/answer")


def test_nothing_is_to_be_done_where_all_is_as_wanted() -> None:
    wanted = replace(WANTED, number=NUMBER)
    plan = make_plan(wanted, [SHOP, PRESENT], [OwnedNumber(NUMBER, "17")])
    assert (plan.app_id, plan.fields, plan.attach, plan.changes) == ("17", {}, None, ())


def test_a_new_application_gets_every_field() -> None:
    plan = make_plan(WANTED, [SHOP], [])
    assert plan.app_id is None
    assert plan.fields == {
        "app_name": "parley",
        "answer_url": WANTED.webhooks.answer,
        "answer_method": "POST",
        "hangup_url": WANTED.webhooks.hangup,
        "hangup_method": "POST",
        "fallback_answer_url": WANTED.webhooks.fallback,
        "fallback_method": "POST",
    }
    assert plan.changes[0] == Change("Application", "(none)", "parley")


def test_a_present_application_gets_what_differs_alone() -> None:
    old = replace(PRESENT, hangup_url="https://old.example.com/hangup", fallback_method="GET")
    plan = make_plan(WANTED, [old], [])
    assert (plan.app_id, plan.fields) == (
        "17",
        {"hangup_url": WANTED.webhooks.hangup, "fallback_method": "POST"},
    )
    assert plan.changes == (
        Change(
            "hangup URL", "https://old.example.com/hangup", "https://voice.example.com/.../hangup"
        ),
        Change("fallback method", "GET", "POST"),
    )


def test_a_change_repeats_the_flag_that_vobiz_would_take_back() -> None:
    old = replace(PRESENT, answer_method="GET", is_default_for_endpoints=True)
    plan = make_plan(WANTED, [old], [])
    assert plan.fields == {"answer_method": "POST", "default_endpoint_app": True}
    assert len(plan.changes) == 1
    assert make_plan(WANTED, [replace(old, answer_method="POST")], []).fields == {}


def test_a_secret_alone_that_differs_is_told_without_being_shown() -> None:
    old = replace(PRESENT, answer_url="https://voice.example.com/another-secret-part/answer")
    (change,) = make_plan(WANTED, [old], []).changes
    shown = "https://voice.example.com/.../answer"
    assert change == Change("answer URL", shown, f"{shown} (its hidden part differs)")


def test_a_free_number_is_attached() -> None:
    plan = make_plan(replace(WANTED, number=NUMBER), [PRESENT], [OwnedNumber(NUMBER)])
    assert plan.attach == NUMBER
    assert plan.changes == (Change(f"number {NUMBER}", "(not attached)", "parley"),)


@pytest.mark.parametrize(("applications", "name"), [([PRESENT, SHOP], "shop"), ([PRESENT], "18")])
def test_a_number_of_another_application_needs_leave(
    applications: list[Application], name: str
) -> None:
    wanted, numbers = replace(WANTED, number=NUMBER), [OwnedNumber(NUMBER, "18")]
    with pytest.raises(NotPossible, match=f"attached to the Application {name}.*--take-over"):
        make_plan(wanted, applications, numbers)
    plan = make_plan(replace(wanted, takes_over=True), applications, numbers)
    assert (plan.attach, plan.changes[-1].before) == (NUMBER, name)


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "it has none"), (2, r"it has \+918000000010, \+918000000011\."), (7, "and 2 more")],
)
def test_a_number_that_is_not_the_accounts_is_refused(count: int, words: str) -> None:
    numbers = [OwnedNumber(f"+9180000000{index}") for index in range(10, 10 + count)]
    with pytest.raises(NotPossible, match=words):
        make_plan(replace(WANTED, number=NUMBER), [PRESENT], numbers)


def test_two_applications_of_one_name_are_left_to_a_person() -> None:
    with pytest.raises(NotPossible, match="17, 19"):
        make_plan(WANTED, [PRESENT, replace(PRESENT, app_id="19")], [])


@pytest.mark.parametrize("name", ["", "par ley", "parley!", "p" * 65])
def test_a_name_vobiz_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(NotPossible, match="letters, digits"):
        make_plan(replace(WANTED, name=name), [], [])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://v.example.com/answer", "https://v.example.com/answer"),
        (
            f"https://v.example.com/{SECRET}/answer?k={SECRET}",
            "https://v.example.com/.../answer?...",
        ),
        (f"https://v.example.com/a/{SECRET}/b#{SECRET}", "https://v.example.com/.../b"),
        ("https://v.example.com", "https://v.example.com"),
        (f"https://[{SECRET}://", "..."),
    ],
)
def test_what_may_be_secret_in_a_url_is_hidden(url: str, shown: str) -> None:
    assert hide_secret(url) == shown
