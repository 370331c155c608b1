"""What a gateway makes of WebSocket frames as peers may lawfully write them, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
from collections.abc import AsyncIterator

import pytest
from websockets.frames import Frame, Opcode

from shared.bus.memory import MemoryBus
from shared.bus.messages import WorkerLease
from shared.protocol.call import WorkerId
from tests.support.fake_worker import FakeWorker, WorkerCall
from tests.support.gateway import MediaClient, RunningGateway, new_call_id, running_gateway

pytestmark = pytest.mark.system
HELLO = '{"event":"playAudio","media":{"payload":"////"}}'
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
async def worker(bus: MemoryBus) -> AsyncIterator[FakeWorker]:
    async with FakeWorker(bus.workers) as running:
        yield running


@pytest.fixture
async def gateway(bus: MemoryBus) -> AsyncIterator[RunningGateway]:
    async with running_gateway(bus) as running:
        yield running


async def in_call(gateway: RunningGateway, worker: FakeWorker) -> tuple[MediaClient, WorkerCall]:
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    start = await caller.start()
    link = await worker.call(call_id)
    assert await link.next_frame() == start
    return caller, link


def frame(text: str, *, fin: bool = True, opcode: Opcode = Opcode.TEXT) -> bytes:
    return Frame(opcode, text.encode(), fin=fin).serialize(mask=True)


async def test_a_frame_that_comes_byte_by_byte_passes_whole(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    caller, link = await in_call(gateway, worker)
    for byte in frame('{"event":"media","text":"नमस्ते"}'):
        caller.socket.transport.write(bytes([byte]))
        await asyncio.sleep(0)
    assert await link.next_frame() == '{"event":"media","text":"नमस्ते"}'


async def test_fragments_pass_as_one_message_with_a_ping_among_them(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    caller, link = await in_call(gateway, worker)
    caller.socket.transport.write(frame('{"event":', fin=False))
    pong = await caller.socket.ping()
    caller.socket.transport.write(frame('"media"}', opcode=Opcode.CONT))
    assert await link.next_frame() == '{"event":"media"}'
    async with asyncio.timeout(2):
        await pong


async def test_a_workers_fragments_and_long_messages_pass_too(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    caller, link = await in_call(gateway, worker)
    await link._socket.send([HELLO[:10], HELLO[10:]])
    assert await caller.receive() == HELLO
    long = HELLO.replace("////", "/" * 70_000)
    await link.send(long)
    assert await caller.receive() == long


async def test_text_that_is_none_ends_its_socket_and_not_the_workers_link(
    worker: FakeWorker, gateway: RunningGateway
) -> None:
    """Passed on it would have ended every worker's link that it was replayed to."""
    caller, link = await in_call(gateway, worker)
    caller.socket.transport.write(Frame(Opcode.TEXT, b"\xc3\x28").serialize(mask=True))
    assert await caller.wait_closed() == 1007
    assert not link.closed.is_set()


async def test_what_a_worker_writes_behind_its_handshake_is_not_lost(
    bus: MemoryBus, gateway: RunningGateway
) -> None:
    """A server may speak at once; its first frame then comes in the packet of its answer."""
    links: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        links.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        key = head.lower().partition(b"sec-websocket-key: ")[0]
        key = head[len(key) :].split(b": ")[1].split(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        hello = Frame(Opcode.TEXT, HELLO.encode()).serialize(mask=False)
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + hello + hello[:7]
        )
        await asyncio.sleep(0.1)
        writer.write(hello[7:])

    server = await asyncio.start_server(serve, "127.0.0.1", 0, family=socket.AF_INET)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await bus.workers.heartbeat(WorkerLease(WorkerId("eager"), address, 10), [])
    call_id = new_call_id()
    caller = await MediaClient.open(await gateway.media_url(call_id), call_id)
    assert [await caller.receive() for _ in range(2)] == [HELLO, HELLO]
    await caller.close(1000)
    for writer in links:
        writer.close()
        await writer.wait_closed()
    server.close()
    await server.wait_closed()
