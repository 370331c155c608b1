"""One call on a worker: what it is made of, how it begins here, and who is asked for what.

Here is the way into a call, for the worker and the link. What happens then is elsewhere, one side
of it in each room:

    incoming    what the caller's media socket brings
    performer   hands events to the session, and does what it asks for
    rounds      what the clock brings
    ending      how it leaves this worker

Providers run as owned tasks (`ears`, `wits`, `mouth`: the `faculties`) and come back as events. An
exception that nobody expected ends this call alone (`guard`).
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from services.agent.after_call.aftermath import Aftermath
from services.agent.call.account import Account
from services.agent.call.belongings import Belongings
from services.agent.call.ending import Ending
from services.agent.call.facts import facts_of, with_facts
from services.agent.call.guard import Guard
from services.agent.call.incoming import Incoming
from services.agent.call.keeper import Keeper
from services.agent.call.kept import KeptCall
from services.agent.call.line import Line
from services.agent.call.live import LiveView
from services.agent.call.parts import Parts
from services.agent.call.performer import Performer
from services.agent.call.quiet import Quiet
from services.agent.call.rounds import Rounds
from services.agent.call.trace import CallTrace
from services.agent.call.witnesses import Witnesses
from services.agent.company.cast import Cast
from services.agent.dialogue.texts import phrases_in
from services.agent.recording.recorder import Recorder, Recordings
from services.agent.turn import events as ev
from services.agent.turn.playout import Playout
from services.agent.turn.session import Session
from services.agent.turn.states import State
from services.agent.wire.link import Link
from services.agent.wire.network import NetworkEvent
from shared.protocol.call import CallId, EndReason, StreamId
from shared.protocol.live import ShownCall
from shared.protocol.worker import LinkClose, LinkRequest
from shared.runtime.tasks import TaskOwner

_log = structlog.get_logger(__name__)
_LOST = (1001, 1006, 1011, 1012, LinkClose.SUPERSEDED, LinkClose.STALE_EPOCH)
"""A link closed so was given up for another: the caller may be there still."""


class Call:
    """A call and its link.

    Args:
        request: what the gateway told of the call.
        cast: who takes it.
        parts: shared with the worker's other calls.
        on_over: called once, when nothing of the call is left.
        kept: what another worker has left of it, for `go_on`.

    Attributes:
        cast: who takes it.
        live: whoever watches it.
        on_text: takes one message of the media socket, see Incoming.
        on_late_text: the same of one that had to wait.
        on_tick: called each 20 ms, see Rounds.

    Raises:
        ProviderError: nobody can hear or think for this call.
    """

    def __init__(
        self,
        request: LinkRequest,
        cast: Cast,
        parts: Parts,
        *,
        on_over: Callable[[Call], None],
        kept: KeptCall | None = None,
    ) -> None:
        self.cast = cast
        language = cast.file.language if kept is None else kept.language
        own = self._own = self._gather(request, parts, language, kept)
        self.live = own.witnesses.live
        variables = {} if kept is None else kept.variables
        self._performer = Performer(own, language, variables, on_end=self._end)
        consumed = None if kept is None else kept.consumed
        self._incoming = Incoming(own, self._performer, consumed)
        self._rounds = Rounds(own, self._performer)
        self._ending = Ending(own, self._performer, on_over=lambda: on_over(self))
        # Fifty times a second of every call, each of them: no step in between that could be spared.
        self.on_text: Callable[[str], None] = self._incoming.on_text
        self.on_tick: Callable[[], None] = self._rounds.on_tick
        self.on_late_text: Callable[[str, float], None] = self._incoming.on_late_text

    def _gather(
        self, request: LinkRequest, parts: Parts, language: str, kept: KeptCall | None
    ) -> Belongings:
        cast, metrics, clock = self.cast, parts.metrics, parts.clock
        facts = facts_of(request, cast.file)
        aftermath = Aftermath(cast.file, cast.version, facts)
        log = _log.bind(call_id=request.call_id, agent=cast.file.name)
        trace = CallTrace(parts.tracer, request, cast.file.name, parts.worker_id)
        account = Account(
            metrics,
            clock,
            aftermath.builder,
            trace,
            agent=parts.agent_label.of(cast.file.name),
            direction=request.direction,
        )
        guard = Guard(account, trace, metrics, log, on_crash=self._crash)
        owner = TaskOwner(f"call:{request.call_id}", on_failure=guard.on_task_failed)
        live = LiveView(
            request.call_id,
            parts.live,
            owner,
            clock,
            at_ms=lambda: account.at_ms,
            on_lost=metrics.live_lost.inc,
        )
        recorder = _open_recorder(parts.recordings, request, cast, kept)
        return Belongings(
            parts=parts,
            cast=cast,
            facts=facts,
            log=log,
            owner=owner,
            session=Session(
                detector=parts.make_detector(),
                playout=Playout(lead_s=parts.lead_s, burst_s=parts.burst_s),
                rules=with_facts(cast.tongue(language).rules, facts),
                now_s=clock.now_s(),
                direction=request.direction,
            ),
            line=Line(request, metrics, recorder),
            witnesses=Witnesses(account, trace, live, recorder),
            keeper=self._make_keeper(request.call_id, parts),
            guard=guard,
            quiet=Quiet(),
            aftermath=aftermath,
        )

    def _make_keeper(self, call_id: CallId, parts: Parts) -> Keeper:
        return Keeper(
            parts.sessions,
            call_id,
            epoch=lambda: self.epoch,
            take=self._take,
            on_passed=lambda: self.leave(LinkClose.STALE_EPOCH),
            on_failed=parts.metrics.snapshot_failures.inc,
        )

    # --- how it stands -----------------------------------------------------------------------

    @property
    def request(self) -> LinkRequest:
        """What was told with the newest link."""
        return self._own.line.request

    @property
    def epoch(self) -> int:
        """The newest link's."""
        return self.request.epoch

    @property
    def state(self) -> State:
        """What the conversation is doing."""
        return self._own.session.state

    @property
    def is_ending(self) -> bool:
        """Whether it is over, or another worker's."""
        return self._performer.is_over

    @property
    def is_given_up(self) -> bool:
        """Whether it ends for want of a caller, or is another's: no link can bring it back."""
        return self._ending.is_given_up

    def shown(self) -> ShownCall:
        """Return how it stands, for who looks at the worker."""
        request, account = self.request, self._own.witnesses.account
        return ShownCall(
            call_id=request.call_id,
            agent=self.cast.file.name,
            direction=request.direction.value,
            from_number=request.from_number,
            to_number=request.to_number,
            state=self.state.value,
            age_s=round(account.duration_s, 1),
            jitter_ms=round(self._performer.audio.jitter_s * 1000, 2),
            last_turn_ms=account.last_turn_ms,
            turns=account.turns,
        )

    # --- it begins here ----------------------------------------------------------------------

    def start(self) -> None:
        """Begin: the first words are prepared before the caller's audio is there."""
        own = self._own
        own.witnesses.trace.on_taken()
        own.log.info("call_taken", worker_id=own.parts.worker_id, epoch=self.epoch)
        self._performer.faculties.start()
        own.keeper.start()
        self._performer.perform(own.session.begin())

    # --- it comes from another worker --------------------------------------------------------

    def go_on(self, kept: KeptCall | None, *, since_s: float) -> None:
        """Go on with a call that another worker had; in place of `start`, after `attach`.

        What the caller did meanwhile follows by `on_late_text`, then `caught_up`. Nothing is
        written before that.

        Args:
            kept: as given to the constructor; None: nothing is known but that the call goes on.
            since_s: when its link was opened.
        """
        own, performer = self._own, self._performer
        performer.is_catching_up = True
        before = "" if kept is None else str(kept.account.get("span", ""))
        own.witnesses.trace.on_taken(before, since_s)
        own.quiet.resume(since_s)
        performer.faculties.start()
        now_s = own.parts.clock.now_s()
        with own.guard:
            if kept is None:
                text = phrases_in(performer.faculties.language).resumed
                performer.perform(own.session.begin_amid(text, now_s))
            else:
                self._restore(kept, now_s)
        self._incoming.go_on()
        own.witnesses.account.on_mark("worker", name=own.parts.worker_id)
        own.log.info(
            "call_taken_over",
            worker_id=own.parts.worker_id,
            epoch=self.epoch,
            is_restored=kept is not None,
        )

    def _restore(self, kept: KeptCall, now_s: float) -> None:
        own = self._own
        own.witnesses.account.restore(kept.account)
        if (stream_id := self._incoming.consumed.stream_id) is not None:
            own.session.playout.name_stream(StreamId(stream_id))
        wall_s = own.parts.clock.wall().timestamp()
        self._performer.perform(own.session.restore(kept.session, now_s, wall_s))

    def caught_up(self) -> None:
        """All that the caller did meanwhile is known: speak, and keep what happens from now on."""
        own, performer = self._own, self._performer
        if performer.is_over:
            return
        with own.guard:
            name = f"drained#{self.epoch}"
            performer.perform(own.session.drain(name, own.parts.clock.now_s()))
            performer.is_catching_up = False
            own.keeper.start()
            own.keeper.touch()
            performer.play_due()

    # --- for another worker ------------------------------------------------------------------

    def _take(self) -> KeptCall:
        own, performer = self._own, self._performer
        performer.settle()  # what is not scored is not consumed
        self._rounds.on_kept()
        clock, session, recorder = own.parts.clock, own.session, own.witnesses.recorder
        return KeptCall(
            session.snapshot(clock.now_s(), clock.wall().timestamp()),
            performer.faculties.language,
            performer.faculties.wits.settled_variables,
            own.witnesses.account.kept(),
            self._incoming.consumed.kept(session.open_since_s),
            None if recorder is None else recorder.kept(),
        )

    def on_woken(self) -> None:
        """The worker stood still for a while: see at once whether the call is its own still."""
        self._own.keeper.touch()

    async def hand_over(self) -> None:
        """Leave the call to another worker: nothing of it is ended or recorded here."""
        await self._ending.hand_over()

    def leave(self, code: LinkClose) -> None:
        """Somebody else has the call already: say and record nothing more of it."""
        self._ending.leave(code)

    # --- the link ----------------------------------------------------------------------------

    def attach(self, link: Link, request: LinkRequest) -> None:
        """Take a link, in place of the one before."""
        self._performer.settle()
        self._own.line.attach(link, request)
        self._own.keeper.release()
        self._incoming.on_link()

    def on_link_closed(self, link: Link, code: int) -> None:
        """The link is gone. A clean close ends the call; after a lost one it may come back."""
        own = self._own
        if not own.line.forget(link) or self._performer.errands.is_away:
            return
        if code in _LOST:
            own.keeper.hold()  # what nobody hears any more is not to be known as heard
            grace_s = own.parts.reattach_grace_s
            own.line.wait(grace_s, lambda: self.over(EndReason.CARRIER_LOST))
            return
        self.over(EndReason.CALLER_HUNG_UP)

    # --- the end -----------------------------------------------------------------------------

    def on_network(self, event: NetworkEvent) -> None:
        """The network tells of this call."""
        self._performer.on_network(event)

    def over(self, reason: EndReason) -> None:
        """The other side has ended the call."""
        self._performer.over(reason)

    def _end(self, action: ev.End) -> None:
        self._ending.end(action)

    def _crash(self) -> None:
        self._end(ev.End(EndReason.AGENT_FAILED, by_agent=False))

    async def stop(self) -> None:
        """Cancel what still runs; called after `on_over`, by the worker."""
        await self._own.owner.stop()


def _open_recorder(
    recordings: Recordings | None, request: LinkRequest, cast: Cast, kept: KeptCall | None
) -> Recorder | None:
    """Record the call if its agent wants it; one that began without goes on without."""
    if recordings is None or (kept is not None and kept.recording is None):
        return None
    return recordings.open(request, cast.file, None if kept is None else kept.recording)
