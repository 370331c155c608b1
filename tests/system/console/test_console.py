"""The console's telephone through the whole platform: Redis, a worker, a gateway, a Chromium.

A recording is the browser's microphone; an offline agent answers it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, expect

from shared.audio.resample import resample
from shared.audio.wav import write_wav
from shared.speech import open_voice
from tests.support.browser import chromium, keep_what_is_heard, microphone_of, what_was_heard
from tests.support.processes import Crew
from tests.support.redis_server import RedisServer

pytestmark = [pytest.mark.system, pytest.mark.browser]

ASKED, INTERRUPTING = "how does this work", "what can you do"
ASKED_AT_S, INTERRUPTS_AFTER_S, REST_S = 4.0, 3.6, 5.0
GREETING = "Hello, this is Parley, your voice agent."
ANSWER = "Your voice comes in by telephone."
MORE = "I find where you speak, recognise the words, choose an answer, and say it to you at once."
OTHER = "I can take down a number."
Samples = NDArray[np.int16]


def spoken(text: str, rate_hz: int) -> Samples:
    voice = open_voice()
    said: Samples = resample(voice.synthesise(text), voice.sample_rate_hz, rate_hz)
    return said


def write_caller(path: Path) -> None:
    """A caller who asks, and talks over the answer."""
    rate_hz = 48_000

    def pause(seconds: float) -> Samples:
        return np.zeros(int(seconds * rate_hz), np.int16)

    asked, interrupting = spoken(ASKED, rate_hz), spoken(INTERRUPTING, rate_hz)
    parts = [pause(ASKED_AT_S), asked, pause(INTERRUPTS_AFTER_S), interrupting, pause(REST_S)]
    write_wav(path, np.concatenate(parts), rate_hz)


def likeness(heard: Samples, wanted: Samples) -> float:
    """How much of `wanted` is somewhere in `heard`: 1 for the same but for loudness."""
    size = 1 << (len(heard) + len(wanted)).bit_length()
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size))
    products = np.fft.irfft(spectrum, size)[: len(heard) - len(wanted)]
    power = np.cumsum(np.concatenate([[0.0], heard.astype(np.float64) ** 2]))
    energies = power[len(wanted) :] - power[: -len(wanted)]
    norms = np.sqrt(energies[: len(products)] * np.sum(wanted.astype(np.float64) ** 2)) + 1.0
    return float(np.max(products / norms))


@pytest.fixture
def crew(tmp_path: Path, redis_server: RedisServer) -> Iterator[Crew]:
    running = Crew(tmp_path, redis_server.url, workers_wanted=1)
    intents = {
        "how": {"phrases": [ASKED], "say": f"{ANSWER} {MORE}"},
        "what": {"phrases": [INTERRUPTING], "say": OTHER},
    }
    running.write_agent(
        GREETING,
        flow={"steps": {"menu": {"prompt": "What else?", "intents": intents}}},
        turn_taking={"filler": {"texts": []}},
    )
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    write_caller(tmp_path / "caller.wav")
    with chromium(*microphone_of(tmp_path / "caller.wav")) as browser:
        opened = browser.new_context(permissions=["microphone"], bypass_csp=True).new_page()
        keep_what_is_heard(opened)
        yield opened


def record_of(crew: Crew, call_id: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{crew.gateways[0].url}/calls/{call_id}", timeout=5).json()
    return found


@pytest.mark.alone
def test_somebody_talks_to_the_agent_from_the_page_and_interrupts_it(
    crew: Crew, page: Page
) -> None:
    page.goto(f"{crew.gateways[0].url}/console/")
    page.wait_for_selector("html[data-ready]")
    with page.expect_response("**/api/talk") as begun:
        page.get_by_role("button", name="Talk", exact=True).click()
    assert begun.value.status == 201, begun.value.text()
    call_id = begun.value.json()["call_id"]
    page.wait_for_timeout(1000 * (ASKED_AT_S + INTERRUPTS_AFTER_S + REST_S))
    transcript = page.locator(".transcript")
    expect(transcript.locator(".turn.caller .said")).to_have_text([ASKED, INTERRUPTING])
    expect(transcript.locator(".turn.agent").first).to_contain_text(GREETING)
    expect(transcript.locator(".turn.interrupted")).to_contain_text(ANSWER)
    expect(page.locator(".figure", has_text="Barge-in").locator("dd")).to_have_text(
        re.compile(r"^[1-9][0-9]* ms$")
    )
    expect(page.locator(".last-turn")).to_contain_text("endpointing")
    page.get_by_role("button", name="Hang up").click()
    expect(transcript).to_contain_text("You have hung up.")

    samples, hz = what_was_heard(page)
    heard = resample(np.array(samples, np.int16), hz, 8000)
    assert likeness(heard, spoken(GREETING, 8000)) > 0.8
    record = record_of(crew, call_id)
    said = [(e["who"], e["text"], e.get("is_interrupted")) for e in record["transcript"]]
    assert [text for who, text, _ in said if who == "caller"] == [ASKED, INTERRUPTING], said
    cut, *_ = [text for _, text, is_interrupted in said if is_interrupted]
    assert cut.startswith(ANSWER)
    assert MORE not in cut
    for sentence, is_heard in ((ANSWER, True), (MORE, False), (OTHER, True)):
        assert (likeness(heard, spoken(sentence, 8000)) > 0.8) is is_heard, sentence
