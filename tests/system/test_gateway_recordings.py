"""Recordings by the gateway's API: read in any range, drawn, listed, removed."""

from __future__ import annotations

import io
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from shared.audio.g711 import decode_ulaw
from shared.bus.memory import MemoryBus
from shared.protocol.call import CallChange, CallId, CallState
from shared.recordings.archive import RecordingArchive
from shared.recordings.block import AgentPiece, Block, CallerPiece, Facts, RunPlace
from shared.recordings.settings import RecordingSettings
from shared.recordings.store import open_store
from tests.support.gateway import RunningGateway, running_gateway

pytestmark = pytest.mark.system
CALLER = bytes(range(256)) * 200
AGENT = bytes(reversed(range(256))) * 100
KEY = "a-key-of-the-api"


@dataclass
class Stage:
    gateway: RunningGateway
    archive: RecordingArchive
    bus: MemoryBus

    async def record(
        self, call_id: str, *, at_s: float = 1_764_000_000.0, done: bool = True
    ) -> str:
        facts = Facts(CallId(call_id), 1, "worker-1", "default", at_s, None)
        await self.archive.begin(facts)
        block = Block(
            facts,
            0,
            caller=(CallerPiece(0, CALLER),),
            agent=(AgentPiece(0, 0, AGENT),),
            runs={0: RunPlace(8000)},
            is_last=True,
        )
        await self.archive.write(block)
        if done:
            await self.archive.complete(CallId(call_id))
        return f"{self.gateway.base}/calls/{call_id}"


def whole() -> bytes:
    stereo = np.zeros((len(CALLER), 2), "<i2")
    stereo[:, 0] = decode_ulaw(CALLER)
    stereo[8000 : 8000 + len(AGENT), 1] = decode_ulaw(AGENT)
    return stereo.tobytes()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    store = open_store(RecordingSettings(recordings_url=str(tmp_path)))
    assert store is not None
    bus = MemoryBus()
    async with running_gateway(bus, recordings_url=str(tmp_path)) as gateway:
        yield Stage(gateway, RecordingArchive(store), bus)


@pytest.mark.parametrize("done", [True, False])
async def test_a_recording_is_a_wav_file_others_can_read(stage: Stage, done: bool) -> None:
    url = await stage.record("call-1", done=done)
    answer = await stage.gateway.client.get(f"{url}/recording.wav")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["accept-ranges"] == "bytes"
    assert "no-store" in answer.headers["cache-control"]
    assert int(answer.headers["content-length"]) == len(answer.content)
    with wave.open(io.BytesIO(answer.content)) as file:
        assert file.getparams()[:4] == (2, 2, 8000, len(CALLER))
        assert file.readframes(file.getnframes()) == whole()


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-", 0, None),
        ("bytes=0-1", 0, 1),
        ("bytes=43-46", 43, 46),
        ("bytes=101-70003", 101, 70_003),
        ("bytes=-3", -3, None),
    ],
)
async def test_any_range_of_it_is_sent(
    stage: Stage, wanted: str, first: int, last: int | None
) -> None:
    url = await stage.record("call-1")
    file = (await stage.gateway.client.get(f"{url}/recording.wav")).content
    answer = await stage.gateway.client.get(f"{url}/recording.wav", headers={"range": wanted})
    expected = file[first : None if last is None else last + 1]
    assert answer.status_code == 206
    assert answer.content == expected
    start = len(file) + first if first < 0 else first
    end = start + len(expected) - 1
    assert answer.headers["content-range"] == f"bytes {start}-{end}/{len(file)}"


async def test_a_range_behind_the_end_is_refused(stage: Stage) -> None:
    url = await stage.record("call-1")
    answer = await stage.gateway.client.get(
        f"{url}/recording.wav", headers={"range": "bytes=99999999-"}
    )
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{44 + 4 * len(CALLER)}"


async def test_what_is_known_of_it_and_its_waveform(stage: Stage) -> None:
    url = await stage.record("call-1")
    known = (await stage.gateway.client.get(f"{url}/recording")).json()
    assert (known["duration_ms"], known["has_audio"], known["agent"]) == (6400, True, "default")
    shown = (await stage.gateway.client.get(f"{url}/waveform", params={"bins": 64})).json()
    assert (len(shown["caller"]), len(shown["agent"])) == (64, 64)
    assert shown["agent"][0] == 0.0 < max(shown["agent"]) <= 1.0
    bad = await stage.gateway.client.get(f"{url}/waveform", params={"bins": 0})
    assert bad.status_code == 422


async def test_what_is_not_recorded_is_not_found(stage: Stage) -> None:
    for call_id in ("nobody", "..%2F..%2Fetc", "%00", "a" * 200):
        for path in ("recording", "recording.wav", "waveform"):
            url = f"{stage.gateway.base}/calls/{call_id}/{path}"
            assert (await stage.gateway.client.get(url)).status_code == 404, url


async def test_the_list_goes_on_page_by_page(stage: Stage) -> None:
    for n in range(3):
        await stage.record(f"call-{n}", at_s=1_764_000_000.0 + n)
    base = f"{stage.gateway.base}/recordings"
    first = (await stage.gateway.client.get(base, params={"limit": 2})).json()
    second = (
        await stage.gateway.client.get(base, params={"limit": 2, "before": first["next"]})
    ).json()
    assert [one["call_id"] for one in first["recordings"]] == ["call-2", "call-1"]
    assert [one["call_id"] for one in second["recordings"]] == ["call-0"]
    assert second["next"] is None


async def test_a_recording_is_removed_once_it_is_complete(stage: Stage) -> None:
    url = await stage.record("call-1", done=False)
    await stage.bus.calls.apply(CallChange(CallId("call-1"), CallState.COMPLETED))
    assert (await stage.gateway.client.delete(f"{url}/recording")).status_code == 409
    await stage.record("call-1")
    assert (await stage.gateway.client.delete(f"{url}/recording")).status_code == 204
    assert (await stage.gateway.client.delete(f"{url}/recording")).status_code == 404
    assert (await stage.gateway.client.get(f"{url}/recording.wav")).status_code == 404


async def test_a_store_that_fails_is_said_to_be_away(stage: Stage, tmp_path: Path) -> None:
    url = await stage.record("call-1")
    audio = tmp_path / "calls" / "call-1" / "audio.ulaw"
    audio.unlink()
    audio.mkdir()
    answer = await stage.gateway.client.get(f"{url}/recording.wav")
    assert answer.status_code == 503
    assert str(tmp_path) not in answer.text


async def test_a_key_is_asked_for_where_there_is_one(tmp_path: Path) -> None:
    async with running_gateway(
        MemoryBus(), recordings_url=str(tmp_path), gateway_api_key=KEY
    ) as gateway:
        for path in ("/recordings", "/calls/c/recording", "/calls/c/recording.wav"):
            assert (await gateway.client.get(f"{gateway.base}{path}")).status_code == 401
        assert (await gateway.client.delete(f"{gateway.base}/calls/c/recording")).status_code == 401
        allowed = await gateway.client.get(
            f"{gateway.base}/recordings", headers={"authorization": f"Bearer {KEY}"}
        )
        assert allowed.json() == {"recordings": [], "next": None}


async def test_without_a_store_there_is_nothing_to_list() -> None:
    async with running_gateway(MemoryBus()) as gateway:
        assert (await gateway.client.get(f"{gateway.base}/recordings")).status_code == 404
