from __future__ import annotations

import pytest

from services.dialer.cli.failure import CommandFailed, Exit, Refused, one_line


@pytest.mark.parametrize(
    ("http_status", "problem", "text"),
    [
        (409, {"title": "Used", "detail": "Take a new\nkey."}, "Take a new key."),
        (
            409,
            {"title": "Used already", "detail": " "},
            "The dialer answered 409 without saying why.",
        ),
        (409, {"title": "Used already"}, "Used already"),
        (429, {"detail": "Full.", "retry_after_s": 2.5}, "Full. Try again in 2.5 s."),
        (429, {"detail": "Full.", "retry_after_s": "soon"}, "Full."),
        (401, {}, "The dialer wants a key: set DIALER_API_KEY."),
        (500, {"detail": 5}, "The dialer answered 500 without saying why."),
    ],
)
def test_a_problem_is_one_sentence(http_status: int, problem: dict[str, object], text: str) -> None:
    refused = Refused(http_status, problem)
    assert str(refused) == text
    assert refused.status is Exit.REFUSED
    assert (refused.http_status, refused.problem) == (http_status, problem)


@pytest.mark.parametrize(
    ("http_status", "verdict"),
    [(504, None), (502, "platform_error"), (502, "outcome_unknown")],
)
def test_what_nobody_knows_is_told_from_a_refusal(http_status: int, verdict: str | None) -> None:
    assert Refused(http_status, {"verdict": verdict}).status is Exit.UNKNOWN


def test_a_long_reason_is_cut() -> None:
    assert len(str(Refused(400, {"detail": "x" * 5000}))) == 600


def test_a_line_holds_nothing_that_a_terminal_obeys() -> None:
    assert one_line(" a\t\x1b[2Jb\r\n c\x07") == "a \ufffd[2Jb c\ufffd"


def test_a_failure_carries_its_exit_status() -> None:
    assert CommandFailed(Exit.MISUSED, "No.").status == 2
