from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from shared.protocol.trace import trace_id_of
from shared.runtime.concern import About, Concern
from shared.runtime.logs import configure_logging
from shared.runtime.tasks import TaskOwner


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    config = structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.contextvars.clear_contextvars()
    structlog.configure(**config)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_lines_are_json_with_service_time_and_keys(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("agent", log_format="json")
    structlog.get_logger("x").bind(call_id="c").info("call_ended", turns=3)
    logging.getLogger("some.library").warning("hello %s", "there")
    ours, theirs = lines(capsys)
    assert ours["event"] == "call_ended"
    assert ours["call_id"] == "c"
    assert ours["service"] == "agent"
    assert str(ours["timestamp"]).endswith("Z")
    assert theirs["event"] == "hello there"
    assert theirs["level"] == "warning"


def test_secrets_under_their_names_never_reach_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("gateway", log_format="json")
    structlog.get_logger("x").info("e", auth_token="xyz", password="xyz", VOBIZ_API_KEY="xyz")
    text = capsys.readouterr().out
    assert "xyz" not in text


def test_exceptions_are_structured(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("agent", log_format="json")
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger("x").exception("failed")
    (line,) = lines(capsys)
    assert "broken" in json.dumps(line["exception"])


def test_console_format_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("agent", log_format="console", level="WARNING")
    structlog.get_logger("x").info("not shown")
    structlog.get_logger("x").warning("shown")
    out = capsys.readouterr().out
    assert "shown" in out
    assert "not shown" not in out


def test_a_vendors_sdk_never_logs_what_it_sends(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("agent", log_format="json", level="DEBUG")
    logging.getLogger("openai._base_client").debug("Request options: a caller's words")
    logging.getLogger("deepgram.listen").info("a caller's words")
    assert capsys.readouterr().out == ""


def test_a_line_names_the_call_that_the_work_in_hand_is_about(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("agent", log_format="json")
    log = structlog.get_logger("x")
    with About(Concern("c-1")):
        log.warning("provider_failed")
        log.info("event_read", call_id="c-2")
        logging.getLogger("some.library").warning("hello")
    log.info("draining")
    assert [line.get("call_id") for line in lines(capsys)] == ["c-1", "c-2", "c-1", None]


async def test_a_task_that_fails_is_told_of_with_its_call(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("agent", log_format="json")

    async def broken() -> None:
        raise ValueError("a bug")

    async with TaskOwner("owner") as owner:
        with About(Concern("c-1")):
            task = owner.start(broken(), name="work")
        await asyncio.wait({task})
    (line,) = lines(capsys)
    assert (line["event"], line["call_id"]) == ("task_failed", "c-1")


@pytest.mark.parametrize(("share", "is_traced"), [(0.0, False), (1.0, True)])
def test_lines_about_traced_calls_name_their_trace(
    capsys: pytest.CaptureFixture[str], share: float, is_traced: bool
) -> None:
    configure_logging("agent", log_format="json", traced_share=share)
    structlog.get_logger("x").info("call_taken", call_id="c")
    structlog.get_logger("x").info("draining")
    about, other = lines(capsys)
    assert about.get("trace_id") == (trace_id_of("c") if is_traced else None)
    assert "trace_id" not in other
