"""What the dialer's API answers failures with."""

from __future__ import annotations

import ast
from pathlib import Path

import services.dialer
from services.dialer.errors import (
    CampaignFull,
    CampaignIncomplete,
    CampaignStands,
    UnknownCampaign,
)
from services.dialer.problems import KINDS, problem_of
from shared.vobiz.errors import Verdict, VobizFailure


def test_every_failure_has_a_problem_and_advice_of_its_own() -> None:
    failures = [verdict for verdict in Verdict if verdict is not Verdict.ACCEPTED]
    problems = [problem_of(VobizFailure(verdict)) for verdict in failures]
    assert len({problem.kind for problem in problems}) == len(failures)
    assert len({problem.detail for problem in problems}) == len(failures)
    assert all(400 <= problem.status < 600 for problem in problems)


def test_a_problem_holds_what_is_known() -> None:
    failure = VobizFailure(Verdict.RATE_LIMITED, status=429, message="cps", retry_after_s=2)
    assert problem_of(failure).to_json() == {
        "type": "urn:parley:problem:vobiz-rate-limited",
        "title": "The Vobiz account is at its limit",
        "status": 429,
        "detail": "The Vobiz account is at its limit of calls per second or at once: wait, then"
        " try again. (Vobiz: cps)",
        "retry_after_s": 2,
        "verdict": "rate_limited",
        "vobiz_status": 429,
    }


def test_what_is_wrong_with_a_campaign_is_told() -> None:
    unknown = problem_of(UnknownCampaign("c-1"))
    assert (unknown.status, unknown.kind) == (404, "unknown-campaign")
    stands = problem_of(CampaignStands("c-1", "add_rows", "finished"))
    assert (stands.status, stands.kind, stands.extra) == (
        409,
        "campaign-state",
        {"state": "finished"},
    )
    assert "add rows" in stands.detail
    full = problem_of(CampaignFull("c-1", 1000))
    assert (full.status, full.kind) == (409, "campaign-full")
    assert "1000" in full.detail
    for is_being_added, words in ((True, "just now"), (False, "send the list again")):
        lacks = problem_of(CampaignIncomplete("c-1", 350, 600, is_being_added))
        assert (lacks.status, lacks.kind, lacks.extra) == (
            409,
            "campaign-incomplete",
            {"missing": 350, "rows": 600, "is_being_added": is_being_added},
        )
        assert "350 of 600 rows" in lacks.detail
        assert words in lacks.detail


def _kinds_in(path: Path) -> set[str]:
    """Return the literal first arguments of Problem.of, and those of problems()."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        taken = node.args[:1] if name == "Problem.of" else node.args if name == "problems" else []
        for argument in taken:
            texts = [n.value for n in ast.walk(argument) if isinstance(n, ast.Constant)]
            found |= {text for text in texts if isinstance(text, str)}
    return found


def test_every_problem_that_is_answered_or_documented_is_in_the_table() -> None:
    """One that is not would be a failure of its own at the moment it is needed."""
    folder = Path(services.dialer.__file__).parent
    used = {kind: path for path in folder.rglob("*.py") for kind in _kinds_in(path)}
    assert len(used) > 20
    assert {kind: str(path) for kind, path in used.items() if kind not in KINDS} == {}
