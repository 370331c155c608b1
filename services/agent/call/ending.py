"""How a call leaves this worker: it ends here, or another worker goes on with it.

At an end of ours the record comes first: the gateway's fallback asks it whether the agent ended the
call. A call that is another's by now is neither recorded nor posted here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from services.agent.after_call.post_call import CallEnd
from services.agent.call.belongings import Belongings
from services.agent.call.performer import Performer
from services.agent.turn import events as ev
from services.agent.turn.playout import BRIDGE_S
from shared.protocol.call import EndClass, EndReason
from shared.protocol.telephony import StopStream
from shared.protocol.worker import LinkClose

_INTERNAL_ERROR = 1011
_CUT_OFF_S = 60.0
_END_CLASS = {
    EndReason.AGENT_HUNG_UP: EndClass.SUCCESS,
    EndReason.TRANSFERRED: EndClass.SUCCESS,
    EndReason.MACHINE: EndClass.SUCCESS,
    EndReason.TIME_LIMIT: EndClass.PLATFORM,
    EndReason.PROVIDER_FAILED: EndClass.PROVIDER,
    EndReason.AGENT_FAILED: EndClass.PLATFORM,
}
"""The ends that are this worker's doing; of all others the hang-up webhook knows better."""
_FAILURES = frozenset({EndReason.AGENT_FAILED, EndReason.PROVIDER_FAILED})


class Ending:
    """One call's.

    Args:
        own: the call's.
        performer: closed by any end.
        on_over: called once, when nothing of the call is left.

    Attributes:
        is_given_up: it ends for want of a caller, or is another's: no link can bring it back.
    """

    def __init__(
        self, own: Belongings, performer: Performer, *, on_over: Callable[[], None]
    ) -> None:
        self.is_given_up = False
        self._is_left = False
        self._own = own
        self._performer = performer
        self._on_over = on_over

    # --- it ends here ------------------------------------------------------------------------

    def end(self, action: ev.End) -> None:
        """End the call; the first end counts."""
        if self._performer.is_over:
            return
        own = self._own
        self.is_given_up = action.reason is EndReason.CARRIER_LOST
        self._close(is_call_over=True)
        try:
            self._tell(action.reason)
            own.session.on_event(ev.CallOver(action.reason), own.parts.clock.now_s())
        except Exception:  # what made the call crash may be in the way of its end
            own.log.exception("session_not_ended")
        asyncio.get_running_loop().call_soon(self._start_finish, action)

    def _close(self, *, is_call_over: bool) -> None:
        """From now on nothing happens to the call, here or for good."""
        self._performer.close()
        self._own.line.stop_waiting()
        if (recorder := self._own.witnesses.recorder) is not None:
            recorder.close(is_call_over=is_call_over)

    def _tell(self, reason: EndReason) -> None:
        own, live = self._own, self._own.witnesses.live
        if live.is_watched:
            own.witnesses.show(own.session, own.parts.clock.now_s())
            live.tell("ended", reason=reason.value)

    def _start_finish(self, action: ev.End) -> None:
        self._own.owner.start(self._finish(action), name="finish")

    async def _finish(self, action: ev.End) -> None:
        """Write the record, say goodbye on the wire, let go of everything."""
        own, account = self._own, self._own.witnesses.account
        # A worker that is cut off from gateway and store alike can't know whose the call is.
        patience_s = _CUT_OFF_S if action.reason is EndReason.CARRIER_LOST else 0.0
        if await own.keeper.is_passed(patience_s=patience_s) or self._is_left:
            await self._depart(LinkClose.STALE_EPOCH)
            return
        reason = action.reason
        duration_s = round(account.duration_s, 1)
        await self._keep_record(reason, duration_s)
        await own.keeper.forget()
        self._close_link(action)
        await self._performer.faculties.aclose()
        is_failed = reason in _FAILURES
        own.witnesses.trace.close(reason, account.started_s, error=reason if is_failed else "")
        own.log.log(
            logging.ERROR if is_failed else logging.INFO,
            "call_ended",
            reason=reason.value,
            why=own.guard.why if is_failed else None,
            duration_s=duration_s,
            turns=len(own.session.transcript),
            **account.milestones,
        )
        self._on_over()

    async def _keep_record(self, reason: EndReason, duration_s: float) -> None:
        own, end_class = self._own, _END_CLASS.get(reason)
        own.witnesses.account.close(self._performer.faculties.ears.usage_s, reason, end_class)
        # A long transcript takes a while to be gone through: not on the loop.
        change = await asyncio.to_thread(
            own.aftermath.change,
            list(own.session.transcript),
            language=self._performer.faculties.language,
            more=self._record_fields(reason, end_class),
        )
        ended_at = own.parts.clock.wall().isoformat(timespec="milliseconds")
        end = CallEnd(reason, end_class or EndClass.CALLER, ended_at, duration_s)
        await own.parts.archive.keep(change, own.aftermath, end)

    def _record_fields(self, reason: EndReason, end_class: EndClass | None) -> dict[str, Any]:
        own, recorder = self._own, self._own.witnesses.recorder
        fields: dict[str, Any] = {
            "worker_id": own.parts.worker_id,
            "agent": own.cast.file.name,
            "milestones": own.witnesses.account.milestones,
        }
        if recorder is not None:
            recorder.complete()
            fields["recording"] = recorder.summary()
        if end_class is not None:
            fields |= {"end_class": end_class, "end_reason": reason}
        return fields

    def _close_link(self, action: ev.End) -> None:
        line = self._own.line
        if action.by_agent:
            stream_id = self._own.session.playout.stream_id
            line.close(LinkClose.ENDED, stops=StopStream(stream_id))
        elif action.reason in _FAILURES:
            line.close(_INTERNAL_ERROR)
        else:
            line.close(LinkClose.NORMAL)

    # --- another worker goes on --------------------------------------------------------------

    async def hand_over(self) -> None:
        """Leave the call to another worker: nothing of it is ended or recorded here."""
        if self._performer.is_over:
            return
        self._performer.play_due(more_s=BRIDGE_S)
        self._own.keeper.hold()
        self._fall_still()
        await self._own.keeper.write_last()
        self._own.parts.metrics.handed_over.inc()
        await self._depart(LinkClose.HANDOVER)

    def leave(self, code: LinkClose) -> None:
        """Somebody else has the call already: say and record nothing more of it."""
        if not self._performer.is_over:
            self._fall_still()
            self._own.owner.start(self._depart(code), name="depart")
            return
        self._is_left = True
        self._own.line.close(code)

    def _fall_still(self) -> None:
        self.is_given_up = True
        self._close(is_call_over=False)
        over = ev.CallOver(EndReason.CARRIER_LOST)
        for action in self._own.session.on_event(over, self._performer.now_s()):
            if isinstance(action, ev.Abandon):
                self._performer.faculties.abandon(action.generation, rewinds=False)

    async def _depart(self, code: LinkClose) -> None:
        own = self._own
        own.line.close(code)
        await own.keeper.aclose()
        await self._performer.faculties.aclose()
        word = code.name.lower()
        own.witnesses.trace.close(f"left_{word}", own.witnesses.account.started_s)
        own.log.info("call_left", code=word)
        self._on_over()
