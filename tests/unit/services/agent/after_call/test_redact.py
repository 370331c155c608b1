"""What is taken out of a call's words, and what is left alone."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.after_call.redact import (
    SEPARATORS,
    Redaction,
    last_digits,
    number_spans,
    redact_emails,
    redact_numbers,
    redact_numbers_across,
)
from services.agent.agents.file import Data

NUMBERS = Redaction(numbers=True)
WORDS = Redaction(keep_text=False, numbers=True)
FOUR_DIGITS = re.compile(rf"(?:\d[{SEPARATORS}]*){{4}}")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("My card is 4255 1234 5678 9010.", "My card is [number]."),
        ("call +91 80000-01234, please", "call +[number], please"),
        ("call (080) 4321 765 now", "call ([number] now"),
        ("it is four two double five, right?", "it is [number], right?"),
        ("Four Two Five Five", "[number]"),
        ("4 2 5 5", "[number]"),
        ("4-2.5,5", "[number]"),
        ("four 2 five 5", "[number]"),
        ("four two uh five and five", "[number]"),
        ("forty-two fifty five", "[number]"),
        ("triple nine one", "[number]"),
        ("oh one two three", "[number]"),
        ("two thousand rupees", "[number] rupees"),
        ("AB1234 is my code", "AB[number] is my code"),
        ("ek do teen char", "[number]"),
        ("mera number nau aath double saat hai", "mera number [number] hai"),
        ("मेरा नंबर नौ आठ सात छह है", "मेरा नंबर [number] है"),
        ("मेरा नंबर ९८७६५ है", "मेरा नंबर [number] है"),
        ("डबल नाइन एट वन", "[number]"),
        ("cuatro dos cinco cinco", "[number]"),
        ("vier zwei fünf fünf", "[number]"),
        ("1234 and 5678", "[number]"),
        ("1234 or 5678", "[number] or [number]"),
        ("double check four five six seven", "double check [number]"),
        ("one two three four double check", "[number] double check"),
    ],
)
def test_a_number_is_taken_out_however_it_is_said(text: str, left: str) -> None:
    assert redact_numbers(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello, how are you?",
        "I have one or two questions for you.",
        "At 10:30 or at 9:15?",
        "one two three",
        "double trouble and a thousand thanks, a million times",
        "oh, oh, oh, oh!",
        "I do. Do you? Then do it and then go.",
        "double, triple, double, triple",
        "room 101, floor 12",
        "हाँ, दो दिन बाद",
        "नमस्ते, आप कैसे हैं?",
    ],
)
def test_a_text_without_such_a_number_is_left_as_it_is(text: str) -> None:
    assert redact_numbers(text) == text


@given(st.text(max_size=200))
def test_no_run_of_four_digits_is_left_in_any_text(text: str) -> None:
    assert not FOUR_DIGITS.search(redact_numbers(text))


@given(st.text(alphabet="0123456789 -.,/()+#*\n:x", max_size=80))
def test_no_run_of_four_digits_is_left_among_separators(text: str) -> None:
    redacted = redact_numbers(text)
    assert not FOUR_DIGITS.search(redacted)
    assert redact_numbers(redacted) == redacted


_SAID = st.sampled_from(
    [
        *("4", "12", "four", "Zero", "oh", "double five", "seventy", "nau", "ek", "सात", "५"),
        *("uno", "acht", "triple 1"),
    ]
)
_BETWEEN = st.sampled_from([" ", "-", ", ", " uh ", " and ", ".", "  "])


@given(
    st.lists(_SAID, min_size=4, max_size=20),
    _BETWEEN,
    st.sampled_from(["", "my number is ", "हाँ जी "]),
    st.sampled_from(["", " thank you", " है"]),
)
def test_any_number_of_four_words_and_more_is_gone(
    said: list[str], between: str, before: str, after: str
) -> None:
    number = between.join([*said, "nine"])
    assert redact_numbers(before + number + after) == f"{before}[number]{after}"


@given(st.text(alphabet=st.characters(exclude_categories=["Nd"]), max_size=100))
def test_texts_without_a_digit_or_a_digits_word_are_unchanged(text: str) -> None:
    if not number_spans(text):
        assert redact_numbers(text) == text
    assert number_spans("".join(c for c in text if not c.isalpha())) == []


def test_a_number_said_in_several_turns_is_taken_out_of_each() -> None:
    texts = ["it is four two", "", "five five", "yes"]
    assert redact_numbers_across(texts) == ["it is [number]", "", "[number]", "yes"]
    assert redact_numbers_across(["4255 no", "1 2"]) == ["[number] no", "1 2"]


@given(st.lists(st.text(alphabet="12 ax", max_size=8), max_size=8))
def test_texts_in_a_row_keep_their_number_and_lose_their_digits(texts: list[str]) -> None:
    redacted = redact_numbers_across(texts)
    assert len(redacted) == len(texts)
    assert not FOUR_DIGITS.search("\n".join(redacted))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("write to j.doe+x@mail.example.com.", "write to [email]."),
        ("it is john dot doe at gmail dot com thanks", "it is [email] thanks"),
        ("j o h n at the rate yahoo dot co dot in", "[email]"),
        ("J underscore Doe At Example Dot Org", "[email]"),
        ("meet me at ten", "meet me at ten"),
        ("a @ b", "a @ b"),
        ("the dot is at the end", "the dot is at the end"),
    ],
)
def test_addresses_of_mail_are_taken_out(text: str, left: str) -> None:
    assert redact_emails(text) == left


def test_hostile_texts_take_no_long_time() -> None:
    for text in ("a " * 50_000, "a.b" * 50_000, "1 uh " * 50_000, "x at " * 50_000, "@" * 99_999):
        Redaction(numbers=True, emails=True).text(text)


def test_values_lose_numbers_in_keys_texts_lists_and_numbers() -> None:
    value = {
        "phone": "98765 43210",
        "n": 4255,
        "small": 12,
        "is": True,
        "none": None,
        "4255": [{"deep": "four two five five"}],
        "digits": [4, 2, 5, 5],
        "few": [1, "a", 2],
    }
    assert NUMBERS.value(value) == {
        "phone": "[number]",
        "n": "[number]",
        "small": 12,
        "is": True,
        "none": None,
        "[number]": [{"deep": "[number]"}],
        "digits": ["[number]"] * 4,
        "few": [1, "a", 2],
    }
    assert WORDS.value(value) == {}
    assert WORDS.value("x") == ""


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet="0123 ab", max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet="12 ab", max_size=6), inner)
    ),
    max_leaves=12,
)


@given(_JSON)
def test_no_value_of_json_keeps_a_run_of_four_digits(value: Any) -> None:
    assert not re.search(r"\d{4}", json.dumps(NUMBERS.value(value), ensure_ascii=False))


def entry(who: str, text: str, at_ms: int, **more: Any) -> dict[str, Any]:
    return {"who": who, "text": text, "at_ms": at_ms, **more}


TOOL = entry(
    "tool",
    "",
    30,
    kind="tool",
    name="look_up",
    arguments={"phone": "9876543210"},
    outcome="ok",
    result='{"id": 12345, "mail": "a@b.com"}',
    took_ms=12.5,
)


def test_a_transcript_is_redacted_across_the_turns_of_one_side() -> None:
    before = [
        entry("caller", "four two", 0, until_ms=900),
        entry("agent", "mm", 1000),
        entry("caller", "five five", 2000),
        entry("caller", "two", 60_000),
        TOOL,
        entry("caller", "12", 61_000, kind="keys", count=2),
    ]
    after = Redaction(numbers=True, emails=True).entries(before)
    assert [e["text"] for e in after] == ["[number]", "mm", "[number]", "two", "", "12"]
    assert after[4]["arguments"] == {"phone": "[number]"}
    assert after[4]["result"] == '{"id": [number], "mail": "[email]"}'
    assert before[0]["text"] == "four two", "the session's own transcript is not touched"


def test_without_text_only_times_counts_and_names_are_left() -> None:
    keys = entry("caller", "4255", 40, kind="keys", count=4)
    said = entry("agent", "Your name?", 10, until_ms=20, is_interrupted=True)
    kept = Redaction(keep_text=False).entries([said, TOOL, keys])
    assert kept == [
        {**said, "text": ""},
        {**TOOL, "arguments": {}, "result": ""},
        {**keys, "text": ""},
    ]


def test_with_nothing_to_redact_all_is_kept() -> None:
    assert Redaction().entries([TOOL]) == [TOOL]
    assert Redaction().value({"n": [1234]}) == {"n": [1234]}


def test_an_agents_file_says_what_is_kept() -> None:
    assert Redaction.of(Data()) == Redaction()
    data = Data(keep_text=False, redact=("numbers", "emails"))
    assert Redaction.of(data) == Redaction(keep_text=False, numbers=True, emails=True)


def test_a_phone_number_is_shown_by_its_last_digits() -> None:
    assert last_digits("+918000001234") == "…1234"
    assert last_digits("1234") == "1234"
    assert last_digits(None) is None
