"""What the dialer's OpenAPI says holds: by a tool that tries to prove otherwise, and by hand."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.dialer.calls.bodies import CALL_ID
from services.dialer.desk.door import Scope
from services.dialer.problems import KINDS
from shared.protocol.call import CallChange, CallId, CallState, Direction
from shared.runtime.http import serve_app
from tests.support.dialer_api import FROM, ROOT_KEY, DialerApi, new_prefix, open_dialer_api
from tests.support.ports import free_ports
from tests.support.processes import Process

pytestmark = pytest.mark.system

_CHECKS_OFF = (
    "use_after_free",  # DELETE of a call hangs it up; its record stays
    "positive_data_acceptance",  # no schema says which numbers are telephone numbers
)


@pytest.fixture
async def desk(kept_redis: str) -> AsyncIterator[DialerApi]:
    # Streams end at once: the tool waits for the end of what it is answered.
    async with open_dialer_api(
        kept_redis, prefix=new_prefix(), dialer_stream_s=0.05, from_number=FROM
    ) as made:
        calls = {
            "call-1": CallState.QUEUED,
            CALL_ID: CallState.IN_PROGRESS,  # that of the examples
            "call-3": CallState.COMPLETED,
        }
        for name, state in calls.items():
            fields = {"direction": Direction.OUTBOUND, "call_uuid": f"uuid-{state}"}
            await made.bus.calls.apply(CallChange(CallId(name), state, fields))
        yield made


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


# A body too large is a refusal as well, which the tool does not think of.
_CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 406, 408, 409, 413, 415, 422, 428, 429]
"""


@dataclass(frozen=True)
class Trial:
    """How long the tool tries, and from which seed; None: each time from another."""

    most_s: int
    seed: int | None


@pytest.mark.parametrize(
    "trial", [Trial(10, 1), pytest.param(Trial(100, None), marks=pytest.mark.soak)]
)
@pytest.mark.timeout(300)
async def test_schemathesis_finds_no_5xx_and_no_answer_that_is_not_documented(
    desk: DialerApi, tmp_path: Path, trial: Trial
) -> None:
    seed = ("--seed", str(trial.seed)) if trial.seed is not None else ()
    (tmp_path / "schemathesis.toml").write_text(_CONFIG)
    tool = Path(sys.executable).with_name("schemathesis")
    async with serve_app(desk.app, host="127.0.0.1", port=0) as port:
        process = await asyncio.create_subprocess_exec(
            *(str(tool), "--no-color", "run", f"http://127.0.0.1:{port}/openapi.json"),
            *("--header", f"Authorization: Bearer {ROOT_KEY}", "--checks", "all"),
            *("--exclude-checks", ",".join(_CHECKS_OFF), "--max-time", str(trial.most_s)),
            *seed,
            *("--request-timeout", "5", "--continue-on-failure", "--warnings", "off"),
            cwd=tmp_path,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(2 * trial.most_s + 30):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    text = said.decode()
    assert process.returncode == 0, text[text.find("= FAILURES") :][:8000]
    tried = re.search(r"(\d+) generated", text)
    assert tried is not None, text
    assert int(tried[1]) >= 100, text  # it did try


async def test_what_is_tried_here_is_the_api_that_the_process_publishes(
    desk: DialerApi, kept_redis: str, tmp_path: Path
) -> None:
    """The account's route was left out here, so that nothing tried it."""
    (port,) = free_ports(1)
    settings = {
        "DIALER_PORT": str(port),
        "DIALER_HOST": "127.0.0.1",
        "DIALER_API_KEY": ROOT_KEY,
        "REDIS_URL": kept_redis,
    }
    url = f"http://127.0.0.1:{port}"
    process = Process("dialer", "services.dialer", url, settings, tmp_path)
    process.start()
    try:
        await asyncio.to_thread(process.wait_ready)
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            published = (await client.get("/openapi.json")).json()
    finally:
        process.kill()
    tried = (await desk.api.get("/openapi.json")).json()
    assert set(tried["paths"]) == set(published["paths"])
    assert tried == published
    assert "/v1/account" in published["paths"]


async def test_every_operation_is_behind_its_scope(desk: DialerApi) -> None:
    document = (await desk.api.get("/openapi.json")).json()
    tried = 0
    for method, path, operation in operations(document):
        (needed,) = operation["security"]
        (scopes,) = needed.values()
        assert scopes, (method, path)
        others = [scope.value for scope in Scope if scope.value not in scopes]
        concrete = re.sub(r"{[^}]+}", "0123456789ab", path)
        async with desk.client(await desk.make_key(*others)) as client:
            refused = await client.request(method, concrete)
            assert refused.status_code == 403, (method, path)
            assert refused.json()["needed"] == scopes
        async with desk.client(None) as stranger:
            assert (await stranger.request(method, concrete)).status_code == 401, (method, path)
        tried += 1
    assert tried >= 30


async def test_every_operation_is_documented_with_examples_and_its_problems(
    desk: DialerApi,
) -> None:
    document = (await desk.api.get("/openapi.json")).json()
    for method, path, operation in operations(document):
        named = (method, path)
        answers = operation["responses"]
        assert {"401", "403", "422", "429"} <= set(answers), named
        for status, answer in answers.items():
            for media_type, content in answer.get("content", {}).items():
                assert content.get("examples") or content.get("example"), (*named, status)
                assert "schema" in content, (*named, status)
                if int(status) >= 400:
                    assert media_type == "application/problem+json", (*named, status)
        body = operation.get("requestBody")
        assert (method == "POST" and body is not None) or body is None or method != "GET", named
        for content in (body or {}).get("content", {}).values():
            assert content.get("examples") or content.get("example"), named


async def test_the_methods_of_a_path_are_all_named_where_one_is_refused(desk: DialerApi) -> None:
    for path, allowed in (("/v1/calls", "GET, POST"), ("/v1/calls/x", "DELETE, GET")):
        answer = await desk.api.put(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_kinds_of_problems_are_words_with_an_error_status_and_a_title() -> None:
    for kind, (status, title) in KINDS.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", kind)
        assert 400 <= status < 600
        assert title[0].isupper()
        assert not title.endswith(".")
