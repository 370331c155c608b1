"""What a gateway does with forged, oversized, replayed and garbage input, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from shared.bus.memory import MemoryBus
from shared.protocol.call import CallId
from shared.protocol.signature import signed_headers
from tests.support.fake_worker import FakeWorker
from tests.support.gateway import (
    MediaClient,
    RunningGateway,
    hangup,
    new_call_id,
    query,
    running_gateway,
    start_app,
    stream_url,
)

pytestmark = pytest.mark.system

PUBLIC = "https://voice.example.com/parley"
TOKEN = "account-token"
PATH_SECRET = "n0t-to-be-guessed-0123"


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def worker(bus: MemoryBus) -> AsyncIterator[FakeWorker]:
    async with FakeWorker(bus.workers) as running:
        yield running


def signed(path: str, nonce: str = "1" * 20, token: str = TOKEN) -> dict[str, str]:
    return signed_headers(PUBLIC + path, token, nonce, nonce[::-1].replace("1", "2"))


async def test_a_public_gateway_takes_signed_webhooks_alone(
    bus: MemoryBus, worker: FakeWorker
) -> None:
    async with running_gateway(bus, public_url=PUBLIC, vobiz_auth_token=TOKEN) as gateway:
        call_id = new_call_id()
        unsigned = await gateway.answer(call_id)
        forged = await gateway.post(
            "/answer", start_app(call_id), headers=signed("/answer", token="another")
        )
        other_url = await gateway.post("/answer", start_app(call_id), headers=signed("/hangup"))
        assert [unsigned.status_code, forged.status_code, other_url.status_code] == [403, 403, 403]
        assert worker.calls == []
        assert await bus.calls.get(CallId(call_id)) is None
        path = query("/answer", agent="default")
        good = await gateway.post(path, start_app(call_id), headers=signed("/answer"))
        assert good.status_code == 200
        assert stream_url(good.content).startswith("wss://voice.example.com/parley/ws/")
        assert b"https://voice.example.com/parley/fallback" in good.content

        def counted(event: str, verdict: str) -> float:
            return gateway.metric("voice_gateway_webhooks_total", event=event, verdict=verdict)

        assert counted("unread", "unsigned") == 1
        assert counted("unread", "forged") == 2
        assert counted("StartApp", "signed") == 1
        refused = gateway.metric("voice_gateway_refused_requests_total", reason="unauthorized")
        assert refused == 3


async def test_a_forged_signature_is_refused_even_on_an_open_gateway(bus: MemoryBus) -> None:
    async with running_gateway(bus, vobiz_auth_token=TOKEN) as gateway:
        response = await gateway.post(
            "/answer", start_app(new_call_id()), headers=signed("/answer", token="another")
        )
        assert response.status_code == 403
        assert (await gateway.answer(new_call_id())).status_code == 200


async def test_the_secret_in_the_path_lets_unsigned_webhooks_in(
    bus: MemoryBus, worker: FakeWorker
) -> None:
    async with running_gateway(bus, public_url=PUBLIC, gateway_path_secret=PATH_SECRET) as gateway:
        call_id = new_call_id()
        assert (await gateway.answer(call_id)).status_code == 403
        wrong = await gateway.answer(call_id, path=f"/{PATH_SECRET[:-1]}x/answer")
        assert wrong.status_code == 403
        assert worker.calls == []
        good = await gateway.answer(call_id, path=f"/{PATH_SECRET}/answer")
        assert good.status_code == 200
        assert f"{PUBLIC}/{PATH_SECRET}/stream-status".encode() in good.content
        verdict = gateway.metric("voice_gateway_webhooks_total", event="StartApp", verdict="path")
        assert verdict == 1


async def test_a_nonce_serves_no_other_content(bus: MemoryBus, worker: FakeWorker) -> None:
    """A signature covers no field: a captured hang-up could end, or a ring begin, any call."""
    async with (
        running_gateway(bus, public_url=PUBLIC, vobiz_auth_token=TOKEN) as gateway,
        running_gateway(bus, public_url=PUBLIC, vobiz_auth_token=TOKEN) as other,
    ):
        call_id, victim = new_call_id(), new_call_id()
        headers = signed("/hangup")
        assert (await gateway.post("/hangup", hangup(call_id), headers)).status_code == 200
        assert (await gateway.post("/hangup", hangup(call_id), headers)).status_code == 200
        assert (await other.post("/hangup", hangup(call_id), headers)).status_code == 200
        assert (await gateway.post("/hangup", hangup(victim), headers)).status_code == 403
        assert (await other.post("/hangup", hangup(victim), headers)).status_code == 403
        with_claim = query("/hangup", c=victim)
        assert (await gateway.post(with_claim, hangup(call_id), headers)).status_code == 403
        assert await bus.calls.get(CallId(victim)) is None
        replays = gateway.metric("voice_gateway_webhooks_total", event="unread", verdict="replayed")
        assert replays == 2


async def chunks(size_bytes: int) -> AsyncIterator[bytes]:
    for _ in range(size_bytes // 8192):
        yield b"x" * 8192


async def test_a_body_of_two_megabytes_is_refused(bus: MemoryBus, worker: FakeWorker) -> None:
    async with running_gateway(bus) as gateway:
        url = f"{gateway.base}/answer"
        declared = await gateway.client.post(url, content=b"x" * 2_000_000)
        streamed = await gateway.client.post(url, content=chunks(2_000_000))
        assert (declared.status_code, streamed.status_code) == (413, 413)
        refused = gateway.metric("voice_gateway_refused_requests_total", reason="too_large")
        assert refused == 2
        assert worker.calls == []
        assert (await gateway.answer(new_call_id())).status_code == 200


async def test_too_many_headers_are_refused(bus: MemoryBus) -> None:
    async with running_gateway(bus) as gateway:
        headers = {f"x-{n}": "y" * 1000 for n in range(20)}
        response = await gateway.client.post(f"{gateway.base}/answer", headers=headers)
        assert response.status_code == 431
        refused = gateway.metric("voice_gateway_refused_requests_total", reason="headers_too_large")
        assert refused == 1


async def test_a_media_socket_with_too_many_headers_is_refused(
    bus: MemoryBus, worker: FakeWorker
) -> None:
    async with running_gateway(bus) as gateway:
        call_id = new_call_id()
        url = await gateway.media_url(call_id)
        headers = {f"x-{n}": "y" * 1000 for n in range(20)}
        with pytest.raises(InvalidStatus) as refused:
            await MediaClient.open(url, call_id, additional_headers=headers)
        assert refused.value.response.status_code == 403


async def test_a_client_that_leaves_in_mid_body_harms_nobody(bus: MemoryBus) -> None:
    async with running_gateway(bus) as gateway:
        port = int(gateway.base.rsplit(":", 1)[1])
        for length in (b"100", b"99999999"):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"POST /answer HTTP/1.1\r\nhost: x\r\ncontent-length: %s\r\n\r\nabc" % length
            )
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        assert (await gateway.client.get(f"{gateway.base}/healthz")).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Event=StartApp",
        b"Event=StartApp&CallUUID=../../etc",
        b"CallUUID=%00%ff&Event=StartApp",
        b"\xff\xfe\x00",
        b"&".join(b"a%d=1" % n for n in range(5000)),
        b'{"Event":"StartApp","CallUUID":"abc"}',
    ],
)
async def test_a_malformed_webhook_is_refused(
    bus: MemoryBus, worker: FakeWorker, body: bytes
) -> None:
    async with running_gateway(bus) as gateway:
        response = await gateway.client.post(f"{gateway.base}/answer", content=body)
        assert response.status_code == 400
        assert worker.calls == []


async def test_a_host_header_that_is_no_host_gets_no_xml(bus: MemoryBus) -> None:
    async with FakeWorker(bus.workers), running_gateway(bus) as gateway:
        response = await gateway.post(
            "/answer", start_app(new_call_id()), headers={"host": "evil.example/x?y="}
        )
        assert response.status_code == 400


@pytest.mark.parametrize(("key", "status"), [(None, 403), ("k" * 20, 401)])
async def test_calls_of_a_public_gateway_need_the_key(
    bus: MemoryBus, key: str | None, status: int
) -> None:
    settings: dict[str, Any] = {"public_url": PUBLIC, "vobiz_auth_token": TOKEN}
    async with running_gateway(bus, gateway_api_key=key, **settings) as gateway:
        url = f"{gateway.base}/calls"
        assert (await gateway.client.get(url)).status_code == status
        wrong = {"authorization": "Bearer wrong"}
        assert (await gateway.client.get(url, headers=wrong)).status_code == status
        if key is not None:
            right = {"authorization": f"Bearer {key}"}
            assert (await gateway.client.get(url, headers=right)).status_code == 200


async def open_call(gateway: RunningGateway, call_id: str, **options: Any) -> MediaClient:
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id, **options)
    await caller.start()
    return caller


async def test_garbage_on_one_call_disturbs_no_other(bus: MemoryBus, worker: FakeWorker) -> None:
    async with running_gateway(bus) as gateway:
        calm_id, wild_id = new_call_id(), new_call_id()
        calm = await open_call(gateway, calm_id)
        wild = await open_call(gateway, wild_id)
        calm_link, wild_link = await worker.call(calm_id), await worker.call(wild_id)
        await calm_link.next_frame()
        await wild_link.next_frame()

        async def flood() -> None:
            for n in range(10_000):
                await wild.socket.send(GARBAGE[n % len(GARBAGE)])

        async def delays_s(count: int) -> list[float]:
            found = []
            for _ in range(count):
                sent_s = time.perf_counter()
                text = await calm.media()
                assert await calm_link.next_frame() == text
                found.append(time.perf_counter() - sent_s)
                await asyncio.sleep(0.02)
            return found

        flooding = asyncio.ensure_future(flood())
        delays = await delays_s(50)
        await flooding
        assert statistics.median(delays) < 0.05
        # The flood's client shares this test's loop, so a few may be late by its doing.
        assert sorted(delays)[-3] < 0.25
        assert gateway.metric("voice_gateway_dropped_frames_total", reason="binary") > 0
        dropped = gateway.metric("voice_gateway_dropped_frames_total", reason="flood")
        assert dropped > 5_000
        # The call itself lives, too, once it behaves.
        await asyncio.sleep(0.5)
        text = await wild.media()
        async with asyncio.timeout(5):
            while await wild_link.frames.get() != text:
                pass


GARBAGE: list[str | bytes] = [
    "",
    "{",
    "null",
    '{"event":',
    '{"event":"media"}',
    '{"event":{"event":[]}}',
    '{"event":"media","media":{"payload":"%%%"}}',
    '{"event":"start","start":7}',
    "\u0000\u2028☎",
    "[" * 1000,
    "x" * 70_000,
    b"\x00\x01",
]


async def test_a_flood_written_at_once_does_not_hold_the_loop(
    bus: MemoryBus, worker: FakeWorker
) -> None:
    """Tens of thousands of tiny frames fit in one read; parsing them in one go took 0.23 s."""
    frame = b"\x81\x81\x00\x00\x00\x00x"
    async with running_gateway(bus) as gateway:
        wild = await open_call(gateway, new_call_id())
        line = wild.socket.transport.get_extra_info("socket")

        def flood() -> None:
            # A thread of its own: only the gateway's share of the loop is to be seen.
            with socket.socket(fileno=os.dup(line.fileno())) as raw:
                raw.settimeout(5)
                raw.sendall(frame * 120_000)

        flooding = asyncio.ensure_future(asyncio.to_thread(flood))
        # In this thread's CPU time, which other programs on the machine don't lengthen; and what
        # the tests before this one left is not looked through by the collector meanwhile.
        gc.freeze()
        longest_s, last_s = 0.0, time.thread_time()
        deadline_s = time.perf_counter() + 10
        while gateway.metric("voice_gateway_dropped_frames_total", reason="flood") < 100_000:
            assert time.perf_counter() < deadline_s
            await asyncio.sleep(0.001)
            now_s = time.thread_time()
            longest_s, last_s = max(longest_s, now_s - last_s), now_s
        await flooding
        assert longest_s < 0.1


async def test_an_oversized_message_is_dropped_and_a_huge_one_closes_its_socket(
    bus: MemoryBus, worker: FakeWorker
) -> None:
    async with running_gateway(bus) as gateway:
        call_id = new_call_id()
        caller = await open_call(gateway, call_id)
        link = await worker.call(call_id)
        await link.next_frame()
        await caller.socket.send("x" * 65_537)
        text = await caller.media()
        assert await link.next_frame() == text
        assert gateway.metric("voice_gateway_dropped_frames_total", reason="oversized") == 1
        await caller.socket.send("x" * 1_048_577)
        assert await caller.wait_closed() == 1009


async def test_a_worker_that_does_not_read_costs_old_audio_not_memory(
    bus: MemoryBus, worker: FakeWorker
) -> None:
    async with running_gateway(
        bus,
        gateway_relay_queue_frames=20,
        gateway_message_rate=100_000,
        gateway_send_timeout_s=30,
        gateway_link_pong_s=30,
    ) as gateway:
        call_id = new_call_id()
        caller = await open_call(gateway, call_id)
        link = await worker.call(call_id)
        await link.next_frame()
        link.stop_reading()
        payload = "A" * 60_000
        for _ in range(300):
            await caller.media(payload)
        stop = '{"event":"dtmf","dtmf":{"digit":"5"}}'
        await caller.socket.send(stop)
        dropped = 0.0
        deadline_s = time.monotonic() + 5
        while dropped < 50 and time.monotonic() < deadline_s:
            await asyncio.sleep(0.02)
            dropped = gateway.metric("voice_gateway_dropped_frames_total", reason="queue_full")
        assert dropped >= 50
        link.resume_reading()
        async with asyncio.timeout(5):
            while await link.frames.get() != stop:
                pass


async def test_a_worker_that_never_reads_again_is_given_up(
    bus: MemoryBus, worker: FakeWorker
) -> None:
    async with running_gateway(
        bus, gateway_send_timeout_s=0.3, gateway_message_rate=100_000, gateway_link_pong_s=30
    ) as gateway:
        call_id = new_call_id()
        caller = await open_call(gateway, call_id)
        link = await worker.call(call_id)
        await link.next_frame()
        await link.send('{"event":"playAudio"}')
        await caller.receive()
        link.stop_reading()
        for _ in range(300):
            await caller.media("A" * 60_000)
        assert await caller.wait_closed(timeout_s=8) == 1011
        assert gateway.metric("voice_gateway_send_timeouts_total", to="worker") == 1


async def test_a_caller_that_does_not_read_is_cut_off(bus: MemoryBus, worker: FakeWorker) -> None:
    async with running_gateway(
        bus, gateway_send_timeout_s=0.3, gateway_reconnect_grace_s=0.1
    ) as gateway:
        call_id = new_call_id()
        caller = await open_call(gateway, call_id)
        link = await worker.call(call_id)
        await link.next_frame()
        caller.socket.transport.pause_reading()
        command = '{"event":"playAudio","media":{"payload":"' + "A" * 60_000 + '"}}'

        async def speak() -> None:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(400):
                    await link.send(command)

        speaking = asyncio.ensure_future(speak())
        assert await link.wait_closed(timeout_s=8) == 1001
        speaking.cancel()
        await asyncio.wait({speaking})
        caller.vanish()
        assert gateway.metric("voice_gateway_send_timeouts_total", to="caller") == 1


async def test_media_sockets_have_no_nagle_and_no_compression(
    bus: MemoryBus, worker: FakeWorker
) -> None:
    async with running_gateway(bus) as gateway:
        call_id = new_call_id()
        url = await gateway.media_url(call_id)
        caller = await MediaClient.open(url, call_id)
        assert caller.socket.protocol.extensions == []
        assert caller.socket.subprotocol is None
        own_port = int(gateway.base.rsplit(":", 1)[1])
        assert own_port in {port for port, has_nodelay in _tcp_sockets_here() if has_nodelay}


def _tcp_sockets_here() -> list[tuple[int, bool]]:
    """Local port and TCP_NODELAY of every connected TCP socket of this process."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as peek:
                peek.getpeername()
                nodelay = peek.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                found.append((peek.getsockname()[1], bool(nodelay)))
        except OSError:
            continue
    return found


async def test_no_secret_appears_in_the_logs(
    bus: MemoryBus, capfd: pytest.CaptureFixture[str]
) -> None:
    async with (
        FakeWorker(bus.workers),
        running_gateway(
            bus, public_url=PUBLIC, vobiz_auth_token=TOKEN, gateway_path_secret=PATH_SECRET
        ) as gateway,
    ):
        call_id = new_call_id()
        answer = await gateway.answer(call_id, path=f"/{PATH_SECRET}/answer")
        url = stream_url(answer.content)
        token = url.rsplit("/", 1)[1]
        local = f"ws://{gateway.base[7:]}/ws/{call_id}/{token}"
        caller = await MediaClient.open(local, call_id)
        await caller.start()
        await caller.close()
        await gateway.post("/answer", {"CallUUID": "?"}, headers={"auth-token": TOKEN})
        await gateway.hang_up(call_id, path=f"/{PATH_SECRET}/hangup")
    captured = capfd.readouterr()
    for secret in (token, TOKEN, PATH_SECRET, "15550100001"):
        assert secret not in captured.out + captured.err


async def test_a_webhook_whose_body_never_ends_is_given_up(bus: MemoryBus) -> None:
    async with running_gateway(bus, gateway_body_timeout_s=0.2) as gateway:
        port = int(gateway.base.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /answer HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc")
        async with asyncio.timeout(5):
            line = await reader.readline()
        assert b"408" in line
        writer.close()
        await writer.wait_closed()


async def test_a_client_error_is_no_servers_error(bus: MemoryBus) -> None:
    async with running_gateway(bus) as gateway:
        response = await gateway.client.request("DELETE", f"{gateway.base}/answer")
        assert response.status_code == httpx.codes.METHOD_NOT_ALLOWED
