"""The simulated cloud: the calls that are up, what they share, and what is kept of them."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httpx

from services.simulator.calls.call import Call
from services.simulator.calls.leg import CloudParts
from services.simulator.calls.plan import CallPlan
from services.simulator.calls.webhooks import open_client
from services.simulator.calls.wheel import Lag, SimulatedClock, Wheel
from services.simulator.person.voice import Speaker
from shared.runtime.tasks import TaskOwner
from shared.speech import Voice, open_voice

_MAX_KEPT = 1000


class Cloud:
    """Runs calls; entered it ticks, left it hangs up on everybody.

    Args:
        clock: simulated time.
        open_engine: opens the voice of `<Speak>` and of scripted people when first needed.
    """

    def __init__(
        self,
        clock: SimulatedClock | None = None,
        *,
        open_engine: Callable[[], Voice] = open_voice,
    ) -> None:
        self.clock = clock or SimulatedClock()
        self.speaker = Speaker(open_engine)
        self.live: dict[str, Call] = {}
        self.finished: OrderedDict[str, Call] = OrderedDict()
        self.on_finished: Callable[[Call], None] = _nobody_asks
        self._wheel = Wheel(self.clock)
        self._parts = CloudParts(open_client(), self.clock, self.speaker)
        self._owner = TaskOwner("cloud", stop_timeout_s=10.0)

    @property
    def lag(self) -> Lag:
        """How late this process was with its own steps."""
        return self._wheel.lag

    @property
    def stalls(self) -> list[tuple[float, float]]:
        """When this process did not run though it should have, in the clock's seconds."""
        return list(self._wheel.stalls)

    @property
    def channels(self) -> int:
        """Calls that are ringing, talking or about to; those whose end is being told are none."""
        return sum(call.ending is None for call in self.live.values())

    async def __aenter__(self) -> Self:
        await self._warm_up()
        self._owner.start(self._wheel.run(), name="wheel")
        return self

    async def _warm_up(self) -> None:
        """Fail a request on purpose: the HTTP client loads half of itself with its first one.

        That takes up to half a second, which the first call would be blamed for.
        """
        with contextlib.suppress(httpx.HTTPError):
            await self._parts.webhooks.get("http://127.0.0.1:9", timeout=0.2)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._owner.stop()
        await self._parts.webhooks.aclose()
        await self.speaker.aclose()

    def start(self, plan: CallPlan) -> Call:
        """Begin a call; its `over` event is set when the last webhook about it has been sent."""
        call = Call(plan, self._parts, self._wheel)
        self.live[call.call_uuid] = call
        self._owner.start(self._run(call), name=f"call-{call.call_uuid[:8]}")
        return call

    def find(self, call_uuid: str) -> Call | None:
        """Return a call, live or finished, or None."""
        return self.live.get(call_uuid) or self.finished.get(call_uuid)

    async def _run(self, call: Call) -> None:
        try:
            await call.run()
        finally:
            self.live.pop(call.call_uuid, None)
            self.finished[call.call_uuid] = call
            if call.ending is not None:
                self.on_finished(call)
            while len(self.finished) > _MAX_KEPT:
                self.finished.popitem(last=False)
            call.over.set()


def _nobody_asks(_: Call) -> None:
    """Where no account keeps books, nothing is written down."""
