"""PURE. Taking down where a conversation stands, and going on from there in another process."""

from __future__ import annotations

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.events import Action
from services.agent.turn.floor import Floor
from services.agent.turn.record import history_of
from services.agent.turn.reply import Reply, Step
from services.agent.turn.snapshot import Answer, Snapshot, Unsaid
from services.agent.turn.states import State


def take_snapshot(
    floor: Floor, now_s: float, wall_s: float, *, is_machine: bool, has_apologised: bool
) -> Snapshot:
    """Take down a conversation as it stands.

    Args:
        floor: the conversation; not changed.
        now_s: the present, monotonic...
        wall_s: ...and by the wall clock, in seconds of the Unix epoch.
        is_machine: a machine has answered.
        has_apologised: nothing works, and the caller was told.
    """
    reply, started_s = floor.mouth.reply, floor.started_s
    is_wanted = reply is not None and not reply.is_speculative
    transcript = floor.record.transcript
    return Snapshot(
        state=floor.state,
        generation=floor.mouth.generation,
        begun_wall_s=None if started_s is None else wall_s - (now_s - started_s),
        history=tuple(history_of(transcript)),
        transcript=tuple(transcript),
        expectation=floor.ear.expectation,
        silences=floor.silence.count,
        unanswered=floor.unanswered.joined(""),
        unanswered_ms=floor.unanswered.at_ms,
        keys="".join(key.digit for key in floor.unanswered.keys),
        answer=_take_answer(floor, reply) if reply is not None and is_wanted else None,
        is_machine=is_machine,
        has_apologised=has_apologised,
        is_gathering=floor.is_gathering,
    )


def _take_answer(floor: Floor, reply: Reply) -> Answer:
    texts, heard_s, unsaid = list(reply.texts), reply.heard_s, []
    for one in floor.mouth.playout.sentences:
        if one.is_played:
            texts += [one.text] if one.text else []
            heard_s += one.heard_s
        elif one.text and one.name not in reply.fillers:
            unsaid.append(Unsaid(one.name, one.text, one.is_interruptible))
    # Nothing that is heard follows what ends an answer.
    is_whole = not (reply.last_deed is None or isinstance(reply.last_deed, ev.SendKeys))
    return Answer(
        answers=reply.answers,
        heard=tuple(texts),
        heard_s=heard_s,
        at_ms=None if reply.at_s is None else floor.since_start_ms(reply.at_s),
        latency_ms=dict(reply.latency_ms),
        unsaid=tuple(unsaid),
        steps=tuple((step.after, step.deed) for step in reply.steps),
        is_read=reply.is_read or is_whole,
        is_own=reply.is_own,
        has_used_tools=reply.has_used_tools,
    )


def restore_floor(floor: Floor, snapshot: Snapshot, now_s: float, wall_s: float) -> list[Action]:
    """Bring a new conversation to where another stood; nothing may have happened to it yet.

    Returns:
        what is to be done for it to go on. Machines and errands are the session's to go on with:
        in HOLDING and AWAY the answer, if there is one, is over.
    """
    if snapshot.begun_wall_s is not None:
        floor.started_s = now_s - max(0.0, wall_s - snapshot.begun_wall_s)
    floor.media_s = floor.left_s = now_s
    floor.record.restore(snapshot.transcript)
    floor.mouth.generation = snapshot.generation
    floor.silence.count = snapshot.silences
    if snapshot.unanswered:
        floor.unanswered.keep(snapshot.unanswered, snapshot.unanswered_ms)
    floor.unanswered.keys += [base.Digit(digit) for digit in snapshot.keys]
    actions = floor.expect(snapshot.expectation)
    if snapshot.state in (State.HOLDING, State.AWAY):
        floor.state = snapshot.state
        return actions
    if snapshot.answer is not None:
        return actions + _restore_answer(floor, snapshot.answer, snapshot.state, now_s)
    if snapshot.state is State.WAITING:
        return actions
    floor.state = State.LISTENING
    floor.silence.begin(now_s)
    return actions + floor.yield_turn(now_s)


def _restore_answer(floor: Floor, answer: Answer, state: State, now_s: float) -> list[Action]:
    is_begun = state is not State.WAITING
    if is_begun:
        floor.state = State.CLOSING if state is State.CLOSING else State.THINKING
    if not answer.is_read and answer.answers is not None:
        return _ask_again(floor, answer, answer.answers, now_s)
    reply = floor.mouth.begin(answer.answers, now_s, is_own=answer.is_own)
    reply.has_used_tools = answer.has_used_tools
    if not (answer.is_read or answer.unsaid or answer.heard):
        return [ev.Greet(reply.generation)]
    reply.is_read = reply.is_measured = True
    reply.may_fill = False
    reply.texts += answer.heard
    reply.heard_s = answer.heard_s
    if answer.at_ms is not None and floor.started_s is not None:
        reply.at_s = floor.started_s + answer.at_ms / 1000
    reply.latency_ms = dict(answer.latency_ms or {})
    actions = _say_again(floor, reply, answer)
    return actions + floor.settle(now_s) if is_begun else actions


def _say_again(floor: Floor, reply: Reply, answer: Answer) -> list[Action]:
    """Have the sentences spoken that were not heard, under names of their own."""
    actions: list[Action] = []
    names: dict[str | None, str] = {}
    for one in answer.unsaid:
        name = names[one.name] = reply.next_name()
        floor.mouth.playout.add_sentence(
            name,
            reply.generation,
            one.text,
            is_interruptible=one.is_interruptible,
            formerly=one.name,
        )
        actions.append(ev.Speak(name, reply.generation, one.text, is_first=reply.is_first))
    reply.steps.extend(Step(names.get(after), deed) for after, deed in answer.steps)
    return actions


def _ask_again(floor: Floor, answer: Answer, heard: base.Heard, now_s: float) -> list[Action]:
    """Have a turn answered once more, what was heard of its answer being history."""
    at_ms = answer.at_ms if answer.at_ms is not None else floor.since_start_ms(now_s)
    floor.record.agent(
        " ".join(answer.heard),
        at_ms,
        heard_s=answer.heard_s,
        is_interrupted=True,
        latency_ms=answer.latency_ms or {},
    )
    reply = floor.mouth.begin(heard, now_s)
    reply.has_used_tools = answer.has_used_tools
    reply.told += answer.heard
    reply.sent += [(one.name, one.text) for one in answer.unsaid]
    return [ev.Ask(reply.generation, heard, history=tuple(floor.record.history))]
