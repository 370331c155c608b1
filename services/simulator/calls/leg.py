"""What verbs and REST requests can do to a call that is up: speak, play, stream, collect, tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from services.simulator.calls import forms
from services.simulator.calls.endings import Ending
from services.simulator.calls.forms import Form
from services.simulator.calls.plan import CallPlan, Target
from services.simulator.calls.session_recording import SessionRecording, begin_recording
from services.simulator.calls.timeline import Moment, Timeline
from services.simulator.calls.verbs import StreamPlan, Verb
from services.simulator.calls.webhooks import WebhookSender
from services.simulator.calls.wheel import SimulatedClock
from services.simulator.line.line import Line, LineStep
from services.simulator.line.stream import MediaStream, StreamContext, StreamEnd
from services.simulator.person.scripted_numbers import dial_status
from services.simulator.person.voice import Speaker
from shared.audio.errors import AudioError
from shared.audio.g711 import encode_ulaw
from shared.audio.resample import resample
from shared.audio.wav import parse_wav
from shared.runtime.tasks import TaskOwner

_FETCH_TIMEOUT_S = 5.0
_MAX_INPUTS = 256


@dataclass(frozen=True, slots=True)
class Pressed:
    """A key."""

    digit: str


@dataclass(frozen=True, slots=True)
class Spoke:
    """Something the scripted person has said, as text."""

    text: str


@dataclass(frozen=True, slots=True)
class CloudParts:
    """What all calls of a cloud share. The clients belong to the cloud."""

    webhooks: httpx.AsyncClient
    clock: SimulatedClock
    speaker: Speaker


class Leg:
    """One call's line together with what can be done to it.

    Args:
        plan: the call.
        parts: what it shares with others.
        line: its audio.
        timeline: where events go.
        sender: its webhooks.
        owner: its tasks.
        end: ends the call.
    """

    def __init__(
        self,
        plan: CallPlan,
        parts: CloudParts,
        line: Line,
        timeline: Timeline,
        sender: WebhookSender,
        owner: TaskOwner,
        end: Callable[[Ending], None],
    ) -> None:
        self.clock = parts.clock
        self.end = end
        self.origin_s = self.clock.now_s()
        self.on_answered: Callable[[], None] = lambda: None
        self.streams: list[MediaStream] = []
        self.pending_webhooks: set[asyncio.Task[Any]] = set()
        self.held_webhooks: list[tuple[Target, Form]] = []
        self.session: SessionRecording | None = None
        self.is_over = False
        self._plan = plan
        self._parts = parts
        self._line = line
        self._timeline = timeline
        self._sender = sender
        self._owner = owner
        self._rng = Random(plan.knobs.seed)
        self._inputs: asyncio.Queue[Pressed | Spoke] = asyncio.Queue(_MAX_INPUTS)
        self._drained = asyncio.Event()

    @property
    def call_uuid(self) -> str:
        """The cloud's id of the call."""
        return self._plan.facts.call_uuid

    @property
    def is_answered(self) -> bool:
        """Whether somebody has picked up, or the first media verb has answered the caller."""
        return self._line.is_answered

    @property
    def is_outbound(self) -> bool:
        """Whether the cloud placed the call."""
        return self._plan.facts.is_outbound

    def now_s(self) -> float:
        """Seconds since the recording began."""
        return self.clock.now_s() - self.origin_s

    def note(self, moment: Moment, **detail: object) -> None:
        """Write an event down."""
        self._timeline.add(moment, self.now_s(), **detail)

    def answer(self) -> None:
        """Pick up, unless that has happened."""
        if not self._line.is_answered:
            self._line.is_answered = True
            self.note(Moment.ANSWERED)
            self.on_answered()

    def on_step(self, step: LineStep) -> None:
        """Hand 20 ms of the line to whoever waits for them."""
        if step.digit:
            self.note(Moment.DTMF, digits=step.digit, by="caller")
            self._put(Pressed(step.digit))
        if step.began is not None:
            self.note(Moment.SPEECH, text=step.began.label, over_agent=step.began.is_over_agent)
        if step.ended is not None:
            self._put(Spoke(step.ended.label))
        if not self._line.prompts:
            self._drained.set()
        for stream in self.streams:
            stream.on_step(step)

    async def sleep(self, seconds: float) -> None:
        """Let simulated time pass."""
        await self.clock.sleep(seconds)

    async def speak(self, text: str, voice: str) -> None:
        """Say a text to the caller and wait until it is heard; silence where no engine is."""
        pcm = await self._parts.speaker.render(text, voice)
        if pcm is None:
            await self.sleep(self._parts.speaker.estimated_s(text))
        else:
            await self.play_pcm(pcm)

    async def play(self, url: str) -> bool:
        """Fetch a WAV file and play it; False when there was nothing this can read."""
        try:
            response = await self._parts.webhooks.get(url, timeout=_FETCH_TIMEOUT_S)
            pcm, rate_hz = parse_wav(response.raise_for_status().content)
        except (httpx.HTTPError, httpx.InvalidURL, AudioError) as exc:
            self.note(Moment.FAULT, problem=f"<Play> {type(exc).__name__}: {exc}")
            return False
        await self.play_pcm(resample(pcm, rate_hz, 8000))
        return True

    async def play_pcm(self, pcm: NDArray[np.int16]) -> None:
        """Queue 8 kHz PCM and wait until it has been heard."""
        if not len(pcm):
            return
        self._drained.clear()
        self._line.prompts.push(encode_ulaw(pcm))
        try:
            await self._drained.wait()
        finally:
            self._line.prompts.clear()

    def stop_prompts(self) -> None:
        """Stop what `speak` and `play` are playing."""
        self._line.prompts.clear()

    async def stream(self, plan: StreamPlan) -> None:
        """Open a media stream; returns when it ended if it keeps the call alive, else at once."""
        stream = self.open_stream(plan)
        if plan.keeps_call_alive:
            if await stream.run() is StreamEnd.CALL_OVER:
                await asyncio.Event().wait()  # whoever closed it cancels the verbs
        else:
            self._owner.start(stream.run(), name="stream")

    def start_stream(self, plan: StreamPlan) -> MediaStream:
        """Open a media stream beside what runs, as a REST request does."""
        stream = self.open_stream(plan)
        self._owner.start(stream.run(), name="stream")
        return stream

    def open_stream(self, plan: StreamPlan) -> MediaStream:
        """Return a stream that `run` will open."""

        def report(event: str, stream_id: str, more: Mapping[str, str]) -> None:
            self._report_stream(plan, event, stream_id, more)

        context = StreamContext(
            facts=self._plan.facts,
            line=self._line,
            knobs=self._plan.knobs,
            clock=self.clock,
            timeline=self._timeline,
            owner=self._owner,
            rng=self._rng,
            origin_s=self.origin_s,
            report=report,
        )
        stream = MediaStream(plan, context)
        self.streams.append(stream)
        return stream

    async def next_input(self, timeout_s: float | None) -> Pressed | Spoke | None:
        """Return the next key or utterance, or None when none came in time."""
        limit_s = None if timeout_s is None else timeout_s / self.clock.speed
        try:
            async with asyncio.timeout(limit_s):
                return await self._inputs.get()
        except TimeoutError:
            return None

    def forget_inputs(self) -> None:
        """Drop keys and utterances that nobody waited for."""
        while not self._inputs.empty():
            self._inputs.get_nowait()

    def begin(self, work: Coroutine[Any, Any, object]) -> None:
        """Do something beside the verbs, at most until the call ends."""
        self._owner.start(work, name="request")

    def tell(self, target: Target, event: str, more: Mapping[str, str]) -> None:
        """Send a status webhook with the usual fields of a call, without waiting."""
        self.post(target, forms.start_app(self._plan.facts, event) | dict(more))

    def post(self, target: Target, form: Form) -> None:
        """Send a status webhook without waiting."""
        task = self._owner.start(self._sender.tell(target.url, target.method, form), name="webhook")
        self.pending_webhooks.add(task)
        task.add_done_callback(self.pending_webhooks.discard)

    def tell_after_hangup(self, target: Target, event: str, more: Mapping[str, str]) -> None:
        """Keep a webhook for after the Hangup, as Vobiz brings what a hang-up has cut off."""
        self.held_webhooks.append((target, forms.start_app(self._plan.facts, event) | dict(more)))

    def record_session(self, verb: Verb) -> SessionRecording:
        """Record from here to the call's end; what is recorded already goes on."""
        if self.session is None:
            self.session = begin_recording(verb, self._plan, self._line.handset.heard_samples)
        return self.session

    def tell_recorded(self) -> None:
        """Tell of the session's recording, which Vobiz does after the Hangup."""
        session = self.session
        if session is not None and session.callback is not None:
            fields = session.stop_fields(self._line.handset.heard_samples)
            self.tell(session.callback, "RecordStop", fields)

    def dial_status(self, number: str) -> str:
        """Return how `<Dial>` to a number goes."""
        return dial_status(number)

    def end_later(self, ending: Ending, seconds: float) -> None:
        """End the call after a while, whatever runs then."""

        async def wait_and_end() -> None:
            await self.sleep(seconds)
            self.end(ending)

        self._owner.start(wait_and_end(), name="scheduled-end")

    def _report_stream(
        self, plan: StreamPlan, event: str, stream_id: str, more: Mapping[str, str]
    ) -> None:
        if not plan.callback_url:
            return
        extra = {f"X-VH-{key}": value for key, value in plan.extra_headers.items()}
        form = forms.stream_status(
            self._plan.facts,
            event,
            stream_id,
            self.clock.wall(),
            (plan.callback_url, plan.callback_method),
            {**more, **extra},
        )
        target = Target(plan.callback_url, plan.callback_method)
        if event == "PlayedStream" and self._plan.knobs.holds_played_until_hangup:
            self.held_webhooks.append((target, form))
        else:
            self.post(target, form)

    def _put(self, given: Pressed | Spoke) -> None:
        if not self._inputs.full():  # nobody gathers: what is beyond the bound is not waited for
            self._inputs.put_nowait(given)
