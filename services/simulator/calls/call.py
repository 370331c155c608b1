"""One call's life: ringing, answering, its XML, its end, and what is told to whom about it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from numpy.random import default_rng

from services.simulator.calls import endings, forms
from services.simulator.calls.endings import Ending, FetchStep
from services.simulator.calls.interpreter import Interpreter
from services.simulator.calls.knobs import HangupKnob
from services.simulator.calls.leg import CloudParts, Leg
from services.simulator.calls.plan import CallPlan, Target, XmlRequest
from services.simulator.calls.timeline import Moment, Timeline
from services.simulator.calls.verbs import InvalidXml, Verb, parse_response
from services.simulator.calls.webhooks import Answer, Delivery, WebhookSender
from services.simulator.calls.wheel import Wheel
from services.simulator.line.line import Line
from services.simulator.person.caller import Caller
from shared.protocol.call import CallState
from shared.runtime.tasks import TaskOwner

_BAD_XML_PAUSE_S = 1.0
_WEBHOOKS_LAST_S = 10.0
_MAX_DELIVERIES = 2000


@dataclass(frozen=True, slots=True)
class Times:
    """When a call reached what, UTC; None where it has not, or never did."""

    began: datetime
    rang: datetime | None = None
    answered: datetime | None = None
    ended: datetime | None = None


class Call:
    """A call from the moment the cloud knows of it.

    `run` lives it to its end; meanwhile `end` and `transfer` act on it from outside.

    Args:
        plan: who, where, how.
        parts: what calls share.
        wheel: ticks the line.
    """

    def __init__(self, plan: CallPlan, parts: CloudParts, wheel: Wheel) -> None:
        self.plan = plan
        self.state = CallState.QUEUED
        self.times = Times(parts.clock.wall())
        self.ending: Ending | None = None
        self.timeline = Timeline()
        self.deliveries: list[Delivery] = []
        self.answer_sent_s: float | None = None
        self.over = asyncio.Event()
        self.answer_webhook = asyncio.Event()
        self._parts = parts
        self._wheel = wheel
        seed = plan.knobs.seed
        self._recorded_after_s = Random(seed).uniform(0.1, 3.0)
        self.line = Line(Caller(plan.script), plan.quality, default_rng(seed))
        self._owner = TaskOwner(f"call-{plan.facts.call_uuid[:8]}", stop_timeout_s=3.0)
        self._sender = WebhookSender(
            parts.webhooks, parts.clock, plan.knobs, plan.token, self._on_delivery
        )
        self.leg = Leg(plan, parts, self.line, self.timeline, self._sender, self._owner, self.end)
        self.leg.on_answered = self._on_answered
        self._decision: asyncio.Future[Ending | XmlRequest] | None = None
        self._ticking = asyncio.Event()

    @property
    def call_uuid(self) -> str:
        """The cloud's id of this call."""
        return self.plan.facts.call_uuid

    @property
    def duration_s(self) -> int:
        """Answered seconds, up to now while it lasts."""
        if self.times.answered is None:
            return 0
        until = self.times.ended or self._parts.clock.wall()
        return forms.whole_seconds(self.times.answered, until)

    @property
    def recorded_at(self) -> datetime:
        """When the CDR can be read: a while after the end, which differs from call to call."""
        assert self.times.ended is not None, "not over"
        return self.times.ended + timedelta(seconds=self._recorded_after_s)

    async def run(self) -> Ending:
        """Live the call to its end and report it; cancelling hangs up without reporting."""
        self._decision = asyncio.get_running_loop().create_future()
        async with self._owner:
            try:
                ending = await self._live()
            finally:
                self._wheel.leave(self)
            self._mark_end(ending)
            await self._finish(ending)
        return ending

    def end(self, ending: Ending) -> None:
        """End the call from outside: the person, a time limit, a schedule."""
        self._decide(ending)

    def hang_up_by_api(self) -> bool:
        """End the call as a REST request does; False when it is ending already."""
        is_up = self.times.answered is not None or not self.plan.facts.is_outbound
        return self._decide(endings.HANGUP_API if is_up else endings.CANCELLED)

    def transfer(self, target: Target) -> None:
        """Tear down what runs and go on with the XML of another URL."""
        self._decide(XmlRequest(target, event="Transfer", step=FetchStep.TRANSFER))

    def on_tick(self, due_s: float) -> None:
        """Live 20 ms of the line. The first one is the beginning of the recording."""
        if not self._ticking.is_set():
            self.leg.origin_s = due_s
            self._ticking.set()
        step = self.line.step()
        self.leg.on_step(step)
        if step.hangs_up:
            self._person_hangs_up()

    def _decide(self, decision: Ending | XmlRequest) -> bool:
        if self._decision is None or self._decision.done() or self.ending is not None:
            return False
        self._decision.set_result(decision)
        return True

    def _person_hangs_up(self) -> None:
        self._wheel.leave(self)
        is_answered = self.line.is_answered
        self.end(endings.person_hung_up(self.plan.facts.direction, is_answered=is_answered))

    # --- before the answer ----------------------------------------------------------------------

    async def _live(self) -> Ending:
        if not self.plan.facts.is_outbound:
            self._enter(CallState.RINGING)
            return await self._talk()
        await self._parts.clock.sleep(self.plan.dial_delay_s)
        self._enter(CallState.RINGING)
        if self.plan.ring is not None:
            self.leg.post(self.plan.ring, forms.ring(self.plan.facts))
        if (unanswered := await self._ring()) is not None:
            return unanswered
        return await self._talk()

    async def _ring(self) -> Ending | None:
        """Wait for the scripted outcome; None when somebody picks up."""
        outcome = self.plan.outcome
        waits_out = outcome.code == endings.RANG_OUT.code
        after_s = self.plan.ring_timeout_s if waits_out else outcome.after_s
        if await self._is_decided_within(min(after_s, self.plan.ring_timeout_s)):
            return self._taken_ending()
        if outcome.code:
            return endings.OUTCOMES_BY_CODE[outcome.code]
        return endings.RANG_OUT if after_s > self.plan.ring_timeout_s else None

    async def _is_decided_within(self, seconds: float) -> bool:
        assert self._decision is not None  # run() made it
        await asyncio.wait({self._decision}, timeout=seconds / self._parts.clock.speed)
        return self._decision.done()

    def _taken_ending(self) -> Ending | None:
        """Return the end that was decided meanwhile; a transfer before the answer is void."""
        if self._decision is None or not self._decision.done():
            return None
        decided = self._decision.result()
        if isinstance(decided, Ending):
            return decided
        self._decision = asyncio.get_running_loop().create_future()
        return None

    # --- while it is up -------------------------------------------------------------------------

    async def _talk(self) -> Ending:
        self._wheel.join(self)
        await self._ticking.wait()
        if self.plan.facts.is_outbound:
            self.leg.answer()
        if (ended := await self._detect_machine()) is not None:
            return ended
        self._owner.start(self._lose_patience(), name="patience")
        decided: Ending | XmlRequest = XmlRequest(
            self.plan.answer, fallback=self.plan.fallback, more=self._verdict()
        )
        while isinstance(decided, XmlRequest):
            decided = await self._until_decided(decided)
        return decided

    async def _lose_patience(self) -> None:
        """Hang up at the script's limit even where nobody ever answers."""
        await self._parts.clock.sleep(self.plan.script.max_duration_s)
        self._person_hangs_up()

    async def _until_decided(self, request: XmlRequest) -> Ending | XmlRequest:
        """Execute a request's XML until it ends the call or somebody else decides."""
        assert self._decision is not None  # run() made it
        program = self._owner.start(self._execute(request), name="program")
        await asyncio.wait({program, self._decision}, return_when=asyncio.FIRST_COMPLETED)
        if not self._decision.done():
            ended: Ending = program.result()
            return ended
        decided = self._decision.result()
        self._decision = asyncio.get_running_loop().create_future()
        how = HangupKnob.CLOSE_1000
        if isinstance(decided, Ending):
            self._mark_end(decided)
            if decided.source in ("Caller", "Callee"):
                how = self.plan.knobs.hangup
        await self._close_streams(how)
        program.cancel()
        await asyncio.wait({program})
        self.leg.stop_prompts()
        return decided

    async def _execute(self, request: XmlRequest) -> Ending:
        result: Ending | XmlRequest = request
        while isinstance(result, XmlRequest):
            fetched = await self._fetch(result)
            if isinstance(fetched, Ending):
                return fetched
            result = await Interpreter(self.leg).run(fetched, result.step)
        return result

    async def _fetch(self, request: XmlRequest) -> list[Verb] | Ending:
        form = forms.start_app(self.plan.facts, request.event) | dict(request.more)
        failure: Ending = endings.url_failed(request.step)
        if self.answer_sent_s is None:
            self.answer_sent_s = self.leg.now_s()
            self.answer_webhook.set()
        answer = await self._sender.ask(request.target.url, request.target.method, form)
        if answer is not None:
            parsed = await self._parse(answer, request.step)
            if not isinstance(parsed, Ending):
                return parsed
            failure = parsed
        if request.fallback is None:
            return failure
        self.leg.note(Moment.NOTE, text="fetching the fallback URL")
        fallback = XmlRequest(request.fallback, event=request.event, step=FetchStep.FALLBACK)
        return await self._fetch(fallback)

    async def _parse(self, answer: Answer, step: int) -> list[Verb] | Ending:
        try:
            return parse_response(answer.body)
        except InvalidXml as exc:
            self.leg.note(Moment.FAULT, problem=exc.problem, url=answer.url.partition("?")[0])
            await self._parts.clock.sleep(_BAD_XML_PAUSE_S)
            return endings.bad_xml(step)

    async def _detect_machine(self) -> Ending | None:
        detection = self.plan.machine_detection
        if detection is None or not self.plan.facts.is_outbound:
            return None
        is_machine = self.plan.outcome.is_machine
        if detection.callback is not None:
            self._owner.start(self._tell_machine(), name="machine-detection")
            return None
        if await self._is_decided_within(detection.time_s):
            return self._taken_ending()
        return endings.MACHINE if is_machine and detection.hangs_up else None

    def _verdict(self) -> Mapping[str, str]:
        """Return what the answer webhook says of a detection that it has waited for."""
        detection = self.plan.machine_detection
        is_waited_for = detection is not None and detection.callback is None
        if not is_waited_for or not self.plan.knobs.tells_machine_in_answer:
            return {}
        return {"Machine": "true" if self.plan.outcome.is_machine else "false"}

    async def _tell_machine(self) -> None:
        detection = self.plan.machine_detection
        assert detection is not None and detection.callback is not None  # noqa: PT018
        await self._parts.clock.sleep(detection.time_s)
        is_machine = self.plan.outcome.is_machine
        form = forms.machine_detection(
            self.plan.facts, is_machine=is_machine, hangs_up=detection.hangs_up
        )
        self.leg.post(detection.callback, form)
        if is_machine and detection.hangs_up:
            self.end(endings.MACHINE)

    # --- the end --------------------------------------------------------------------------------

    def _mark_end(self, ending: Ending) -> None:
        if self.ending is not None:
            return
        self._wheel.leave(self)
        self.ending = ending
        self.leg.is_over = True
        self._enter(ending.status)
        self.leg.note(
            Moment.ENDED, cause=ending.cause, code=ending.code, name=ending.name, by=ending.source
        )

    async def _finish(self, ending: Ending) -> None:
        await self._close_streams(HangupKnob.CLOSE_1000)
        await self._parts.clock.sleep(self.plan.knobs.hangup_delay_s)
        form = forms.hangup(
            self.plan.facts, ending, self.times.answered, self.times.ended or self.times.began
        )
        target = self.plan.hangup or self.plan.answer
        await self._sender.tell(target.url, target.method, form)
        for held_target, held_form in self.leg.held_webhooks:
            self.leg.post(held_target, held_form)
        self.leg.tell_recorded()
        if self.leg.pending_webhooks:
            await asyncio.wait(self.leg.pending_webhooks, timeout=_WEBHOOKS_LAST_S)
        self.over.set()

    async def _close_streams(self, how: HangupKnob) -> None:
        for stream in self.leg.streams:
            await stream.close(how)

    def _enter(self, state: CallState) -> None:
        self.state = state
        now = self._parts.clock.wall()
        if state is CallState.RINGING:
            self.times = replace(self.times, rang=now)
        elif state is CallState.IN_PROGRESS:
            self.times = replace(self.times, answered=now)
        elif state.is_final:
            self.times = replace(self.times, ended=now)

    def _on_answered(self) -> None:
        self._enter(CallState.IN_PROGRESS)
        self.leg.end_later(endings.TIME_LIMIT, self.plan.time_limit_s)

    def _on_delivery(self, delivery: Delivery) -> None:
        if len(self.deliveries) < _MAX_DELIVERIES:
            self.deliveries.append(delivery)
        at_s = delivery.sent_s - self.leg.origin_s
        detail: Mapping[str, object] = {
            "name": delivery.event,
            "path": delivery.path,
            "status": delivery.status,
            "took_ms": delivery.took_ms,
            "attempt": delivery.attempt,
        }
        self.timeline.add(Moment.WEBHOOK, at_s, **detail)
