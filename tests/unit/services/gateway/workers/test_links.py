"""services.gateway.workers.links: when the link of a worker that says nothing is cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from services.gateway.workers.links import SocketLink
from services.gateway.workers.liveness import Liveness, somebody
from services.gateway.workers.pulses import Pulse
from shared.bus.messages import WorkerLease
from shared.protocol.call import WorkerId
from tests.support.virtual_loop import in_virtual_time

LEASE = WorkerLease(WorkerId("w-1"), "10.0.0.1:9000", capacity=10)
PING_S, PONG_S = 0.25, 0.65


class FakeSocket:
    """What a link asks of its socket; `answers` is whether pings are."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.heard_s = asyncio.get_running_loop().time()
        self.is_open = self.is_reading = self.is_writable = True
        self.cut_s: float | None = None
        self.send_text = self.write_frames = self.listen = self.pause_reading = (
            self.resume_reading
        ) = None

    def ping(self) -> None:
        if self.answers:
            self.heard_s = asyncio.get_running_loop().time()

    def abort(self) -> None:
        self.is_open, self.cut_s = False, asyncio.get_running_loop().time()


def link(
    socket: FakeSocket, pulse: Pulse, has_place_elsewhere: Callable[[], bool] = somebody
) -> SocketLink:
    given: Any = socket
    liveness = Liveness(PING_S, PONG_S, socket.heard_s)
    return SocketLink(given, LEASE, liveness, pulse, has_place_elsewhere)


@in_virtual_time
async def test_a_silent_link_of_a_worker_that_is_heard_on_another_has_twice_the_time() -> None:
    loop = asyncio.get_running_loop()
    began_s, pulse = loop.time(), Pulse(loop.time())
    talks, silent = FakeSocket(answers=True), FakeSocket(answers=False)
    links = [link(talks, pulse), link(silent, pulse)]
    await asyncio.sleep(4)
    assert talks.cut_s is None
    assert silent.cut_s is not None
    assert 2.7 <= silent.cut_s - began_s <= 2.85  # a second of it was by the other's word
    assert [link.was_silent for link in links] == [False, True]
    talks.is_open = False


@in_virtual_time
async def test_a_worker_that_freezes_is_cut_on_all_its_links_within_a_second() -> None:
    loop = asyncio.get_running_loop()
    pulse = Pulse(loop.time())
    sockets = []
    for _ in range(5):
        sockets.append(FakeSocket(answers=True))
        link(sockets[-1], pulse)
        await asyncio.sleep(0.07)
    await asyncio.sleep(1)
    frozen_s = loop.time()
    for socket in sockets:
        socket.answers = False
    await asyncio.sleep(1)
    assert all(socket.cut_s is not None and socket.cut_s - frozen_s < 1.0 for socket in sockets)


@in_virtual_time
async def test_of_a_worker_that_freezes_as_many_links_are_cut_as_others_have_places() -> None:
    loop = asyncio.get_running_loop()
    pulse, places = Pulse(loop.time()), [True, True]
    sockets = [FakeSocket(answers=True) for _ in range(5)]
    for socket in sockets:
        link(socket, pulse, lambda: bool(places) and places.pop())
    await asyncio.sleep(1)
    for socket in sockets:
        socket.answers = False
    await asyncio.sleep(1.5)
    assert sum(socket.cut_s is not None for socket in sockets) == 2
    for socket in sockets:
        socket.answers, socket.heard_s = True, loop.time()
    await asyncio.sleep(5)
    assert [socket.is_open for socket in sockets].count(True) == 3
    for socket in sockets:
        socket.is_open = False
