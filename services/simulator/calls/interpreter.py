"""Executes an answer's verbs in order, on the leg that asked for them."""

from __future__ import annotations

import asyncio
import contextlib
import math
import uuid
from collections.abc import Awaitable, Callable

from services.simulator.calls import endings
from services.simulator.calls.endings import Ending, FetchStep
from services.simulator.calls.gather import gather
from services.simulator.calls.leg import Leg, Pressed
from services.simulator.calls.plan import Target, XmlRequest
from services.simulator.calls.timeline import Moment
from services.simulator.calls.verbs import InvalidXml, Verb, stream_plan

_UNPLAYED_S = 3.0
"""What is taken for the length of audio that can't be read here (MP3)."""
_DIAL_RING_S = 1.0
_DIAL_TALK_S = 2.0


Result = Ending | XmlRequest | None
"""An end of the call, other XML to execute, or None: go on with the next verb."""


class Interpreter:
    """Runs programs of verbs on one leg."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._handlers: dict[str, Callable[[Verb], Awaitable[Result]]] = {
            "Stream": self._stream,
            "Speak": self._speak,
            "Play": self._play,
            "Hangup": self._hangup,
            "Redirect": self._redirect,
            "Wait": self._wait,
            "Gather": self._gather,
            "Dial": self._dial,
            "Record": self._record,
            "DTMF": self._dtmf,
            "Conference": self._conference,
            "PreAnswer": self._pre_answer,
        }

    async def run(self, verbs: list[Verb], step: int) -> Ending | XmlRequest:
        """Execute verbs until the call ends, other XML is asked for, or they run out."""
        for index, verb in enumerate(verbs):
            self._leg.note(Moment.VERB, verb=verb.name)
            if index == 0 and verb.name == "Dial" and not self._leg.is_answered:
                self._leg.note(
                    Moment.NOTE, text="<Dial> first on an unanswered leg misbehaves on Vobiz"
                )
            if index == 0 and verb.name == "Hangup" and (end := self._refusal(verb)):
                return end
            try:
                result = await self._handlers[verb.name](verb)
            except InvalidXml as exc:
                self._leg.note(Moment.FAULT, problem=exc.problem)
                return endings.bad_xml(step)
            if result is not None:
                return result
        return endings.XML_RAN_OUT

    def _refusal(self, verb: Verb) -> Ending | None:
        """Return the end of an inbound call that is refused unanswered."""
        if self._leg.is_answered or self._leg.is_outbound:
            return None
        refusals = {"rejected": endings.VERB_REJECTED, "busy": endings.VERB_BUSY}
        return refusals.get(verb.get("reason"))

    async def _stream(self, verb: Verb) -> Result:
        plan = stream_plan(verb)
        self._leg.answer()
        if plan.is_refused:
            self._leg.note(Moment.FAULT, problem="audioTrack with bidirectional")
            return endings.XML_RAN_OUT
        await self._leg.stream(plan)
        return None

    async def _speak(self, verb: Verb) -> Result:
        self._leg.answer()
        loops = int(verb.number("loop", 1, 1, 1000))
        for _ in range(loops):
            await self._leg.speak(verb.text, verb.get("voice", "WOMAN"))
        return None

    async def _play(self, verb: Verb) -> Result:
        self._leg.answer()
        loops = verb.number("loop", 1, 0, 1000) or math.inf
        played = 0
        while played < loops:
            if not await self._leg.play(verb.text):
                await self._leg.sleep(_UNPLAYED_S)
            played += 1
        return None

    async def _hangup(self, verb: Verb) -> Result:
        schedule_s = verb.number("schedule", 0, 0, 86400)
        if not schedule_s:
            return endings.HANGUP_VERB

        self._leg.end_later(endings.HANGUP_VERB, schedule_s)
        return None

    async def _redirect(self, verb: Verb) -> Result:
        if not verb.text:
            raise InvalidXml("<Redirect> has no URL as its text")
        target = Target(verb.text, verb.get("method", "POST"))
        return XmlRequest(target, event="Redirect", step=FetchStep.ACTION)

    async def _wait(self, verb: Verb) -> Result:
        await self._leg.sleep(verb.number("length", 1, 0, 86400))
        return None

    async def _gather(self, verb: Verb) -> Result:
        self._leg.answer()
        prompts = asyncio.ensure_future(self._nested(verb))
        try:
            fields = await gather(verb, self._leg, prompts)
        finally:
            prompts.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await prompts
        action = verb.get("action")
        if not action:
            return None
        target = Target(action, verb.get("method", "POST"))
        return XmlRequest(target, event="Redirect", step=FetchStep.ACTION, more=fields)

    async def _nested(self, verb: Verb) -> None:
        for child in verb.children:
            await self._handlers[child.name](child)

    async def _pre_answer(self, verb: Verb) -> Result:
        for child in verb.children:
            if child.name == "Wait":
                await self._wait(child)
            else:
                await self._leg.speak(child.text, child.get("voice", "WOMAN"))
        return None

    async def _dial(self, verb: Verb) -> Result:
        """Ring a scripted second telephone; what is said to it is not simulated."""
        number = next((c.text for c in verb.children if c.name in ("Number", "User")), verb.text)
        fields = {
            "DialStatus": self._leg.dial_status(number),
            "DialRingStatus": "true",
            "DialALegUUID": self._leg.call_uuid,
            "DialBLegUUID": "",
        }
        action = verb.get("action")
        target = Target(action, verb.get("method", "POST"))
        try:
            await self._ring_and_talk(verb, number, fields)
        except asyncio.CancelledError:
            if action and self._leg.is_over:
                # The caller hung up, and that is told first.
                if not fields["DialBLegUUID"]:
                    fields["DialStatus"] = "cancel"
                self._leg.tell_after_hangup(target, "Redirect", fields)
            raise
        if not action:
            return None
        if verb.flag("redirect", default=True):
            return XmlRequest(target, event="Redirect", step=FetchStep.ACTION, more=fields)
        self._leg.tell(target, "DialAction", fields)
        return None

    async def _ring_and_talk(self, verb: Verb, number: str, fields: dict[str, str]) -> None:
        """Let a telephone ring, and if somebody answers, be talked to for a while."""
        timeout_s = verb.number("timeout", 120, 1, 3600)
        waits_out = fields["DialStatus"] == "no-answer"
        await self._leg.sleep(timeout_s if waits_out else min(_DIAL_RING_S, timeout_s))
        if fields["DialStatus"] != "completed":
            return
        fields["DialBLegUUID"] = str(uuid.uuid4())
        b_leg = {
            "DialALegUUID": self._leg.call_uuid,
            "DialBLegUUID": fields["DialBLegUUID"],
            "DialBLegFrom": verb.get("callerId").removeprefix("+"),
            "DialBLegTo": number.removeprefix("+"),
            "DialBLegPosition": "1",
        }
        callback = verb.get("callbackUrl")
        told = Target(callback, verb.get("callbackMethod", "POST"))
        for event, word in (("DialAnswer", "answer"), ("DialConnected", "connected")):
            if callback:
                self._leg.tell(told, event, {"DialAction": word, "DialBLegStatus": word, **b_leg})
        limit_s = verb.number("timeLimit", 14400, 1, 86400)
        await self._leg.sleep(min(_DIAL_TALK_S, limit_s))
        if callback:
            end = {"DialAction": "hangup", "DialBLegStatus": "hangup", **b_leg}
            self._leg.tell(told, "DialHangup", end)

    async def _record(self, verb: Verb) -> Result:
        """Report a recording; one of the session is served, of others no file is kept."""
        self._leg.answer()
        action = verb.get("action")
        fields = {
            "RecordUrl": "https://media.example.invalid/recording.mp3",
            "RecordingEndReason": "HungUp",
        }
        if verb.flag("recordSession"):
            begun = self._leg.record_session(verb).begun_fields()
            if action:
                self._leg.tell(Target(action, verb.get("method", "POST")), "Record", begun)
            return None
        max_length_s = verb.number("maxLength", 60, 1, 86400)
        given = await self._leg.next_input(max_length_s)
        is_key = isinstance(given, Pressed)
        fields["RecordingEndReason"] = "FinishedOnKey" if is_key else "maxLength"
        if callback := verb.get("callbackUrl"):
            self._leg.tell(Target(callback), "RecordStop", fields)
        if not action:
            return None
        target = Target(action, verb.get("method", "POST"))
        if verb.flag("redirect"):
            return XmlRequest(target, event="Record", step=FetchStep.ACTION, more=fields)
        self._leg.tell(target, "Record", fields)
        return None

    async def _dtmf(self, verb: Verb) -> Result:
        self._leg.answer()
        self._leg.note(Moment.DTMF, digits=verb.text, by="application")
        return None

    async def _conference(self, verb: Verb) -> Result:
        """Wait alone in a room until the call ends; mixing is not simulated."""
        self._leg.answer()
        if callback := verb.get("callbackUrl"):
            room = {"ConferenceName": verb.text}
            self._leg.tell(Target(callback), "ConferenceEnter", room)
        await self._leg.sleep(verb.number("timeLimit", 86400, 1, 86400))
        return None
