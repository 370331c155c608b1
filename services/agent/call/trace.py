"""One call's spans on its worker: what is told of at once, and what the measures tell afterwards.

    take_call (or take_over, which follows another worker's) ── told as soon as the call is here
      ├─ greeting, turn ── endpointing, transcription, brain, synthesis, platform
      │                 └─ request of a provider, tool
      ├─ barge_in, clear_ack, errand
      └─ session ── the whole, told at the end

A turn has its place from the moment it is asked, so that the requests made for it can stand under
it; its times are told when its first sound is written, and those of an answer that nobody heard
when the next turn is asked.
"""

from __future__ import annotations

import re

from services.agent.providers import base
from services.agent.turn import events as ev
from shared.protocol.call import WorkerId
from shared.protocol.trace import parse_traceparent
from shared.protocol.worker import LinkRequest
from shared.runtime.concern import Concern
from shared.runtime.tracing import Tracer

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_OF_A_TURN = frozenset(
    {
        *(ev.Stage.ENDPOINTING, ev.Stage.TRANSCRIPTION, ev.Stage.BRAIN),
        *(ev.Stage.SYNTHESIS, ev.Stage.PLATFORM),
    }
)


class CallTrace:
    """The spans of one call.

    Args:
        tracer: the worker's.
        request: of the first link: the gateway's span is in it.
        agent: who has the call.
        worker_id: this worker's.

    `concern` is what the work of the moment belongs to: the turn in hand, else the session.
    """

    def __init__(
        self, tracer: Tracer, request: LinkRequest, agent: str, worker_id: WorkerId
    ) -> None:
        self._tracer = tracer
        self._agent = agent
        self._worker_id = worker_id
        self._is_resumed = request.resume
        self._asked = tracer.concern(request.call_id, request.trace)
        self._session = tracer.inside(self._asked)
        self._began_s = tracer.now_s()
        self._is_taken = False
        self._turn = ""
        self._turn_began_s = self._turn_ended_s = 0.0
        self._stages: list[ev.Measure] = []
        self.concern: Concern = self._session

    def on_taken(self, before: str = "", since_s: float | None = None) -> None:
        """The call is here; only the first time counts.

        Args:
            before: the span of the worker that had it, as that one's `kept` said.
            since_s: when its link was opened, if that was before this was made.
        """
        if self._is_taken or not self._tracer.is_on:
            return
        self._is_taken = True
        place = parse_traceparent(before)
        former = self._tracer.concern(self._session.call_id, place) if place is not None else None
        self._tracer.tell(
            "take_over" if self._is_resumed else "take_call",
            self._asked,
            self._began_s if since_s is None else since_s,
            place=self._session,
            links=[former] if former is not None else [],
            agent=self._agent,
            worker_id=self._worker_id,
        )

    @property
    def kept(self) -> str:
        """What another worker needs to link its spans to these."""
        return self._session.span.serialize() if self._session.span is not None else ""

    # --- turns -------------------------------------------------------------------------------

    def on_asked(self, name: str) -> None:
        """The brain is asked: `greeting` or `turn`; what is done from now on is done for it."""
        if not self._tracer.is_on:
            return
        self._leave_turn()
        self._turn = name
        self._turn_began_s = self._turn_ended_s = self._tracer.now_s()
        self.concern = self._tracer.inside(self._session)

    def on_sentence(self) -> None:
        """A sentence of the turn's answer goes to the voice."""
        if self._turn:
            self._turn_ended_s = self._tracer.now_s()

    def on_measure(self, measure: ev.Measure) -> None:
        """A time was measured that ends now."""
        if not self._tracer.is_on:
            return
        now_s = self._tracer.now_s()
        if measure.stage in _OF_A_TURN:
            self._stages.append(measure)
        elif measure.stage is ev.Stage.TOTAL:
            self._tell_stages(now_s - measure.seconds)
            self._tell_turn(now_s - measure.seconds, now_s, is_heard=True)
        elif measure.stage is not ev.Stage.FIRST_AUDIO:
            self._tracer.tell(measure.stage.value, self._session, now_s - measure.seconds)
        elif self._turn == "greeting":
            self._tell_turn(self._turn_began_s, now_s, is_heard=True)

    def _tell_stages(self, at_s: float) -> None:
        """The stages follow each other without a gap, from the caller's last sound on."""
        for stage in self._stages:
            until_s = at_s + stage.seconds
            self._tracer.tell(stage.stage.value, self.concern, at_s, until_s)
            at_s = until_s
        self._stages.clear()

    def _tell_turn(self, began_s: float, ended_s: float, *, is_heard: bool) -> None:
        if not self._turn:
            return
        self._tracer.tell(
            self._turn,
            self._session,
            began_s,
            ended_s,
            place=self.concern,
            agent=self._agent,
            is_heard=is_heard,
        )
        # The place is kept: what follows of the same answer still belongs to it.
        self._turn = ""

    def _leave_turn(self) -> None:
        self._stages.clear()
        self._tell_turn(self._turn_began_s, self._turn_ended_s, is_heard=False)
        self.concern = self._session

    # --- what else happens -------------------------------------------------------------------

    def on_tool(self, used: base.ToolUsed) -> None:
        """A tool has been used."""
        # A model may have made the name up, of anything.
        name = used.name if _NAME.fullmatch(used.name) else None
        self._tracer.tell(
            "tool",
            self.concern,
            self._tracer.now_s() - used.seconds,
            tool=name,
            outcome=used.outcome,
            error="" if used.outcome == "ok" else used.outcome,
        )

    def on_errand(self, kind: str, began_s: float, outcome: str) -> None:
        """The network had the caller for a while."""
        self._tracer.tell("errand", self._session, began_s, kind=kind, outcome=outcome)

    def close(self, reason: str, began_s: float | None, *, error: str = "") -> None:
        """The call is over here.

        Args:
            reason: of the end, or how it was left.
            began_s: its first media, which another worker may have had; None: there was none.
            error: what went wrong, one word.
        """
        if not self._tracer.is_on:
            return
        self._leave_turn()
        self._tracer.tell(
            "session",
            self._session,
            self._began_s if began_s is None else max(began_s, self._began_s),
            agent=self._agent,
            worker_id=self._worker_id,
            reason=reason,
            error=error,
        )
