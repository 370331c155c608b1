"""Outbound calls that a machine answers."""

from __future__ import annotations

import pytest

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.rules import MachineRules, OnMachine, TurnTaking
from services.agent.turn.states import State
from shared.protocol.call import Direction, EndReason
from shared.protocol.telephony import ClearAudio
from tests.support.conversation import Scene

MESSAGE = "This is Parley. Please call us back."
LEAVE = TurnTaking(machine=MachineRules(then=OnMachine.LEAVE_MESSAGE, message=MESSAGE))
GREETING = "Hi, this is Ann. Please leave a message after the tone."


def talk(_: base.Heard) -> list[base.Piece]:
    return [base.Say("I see.")]


def outbound(rules: TurnTaking | None = None) -> Scene:
    return Scene(talk, rules=rules, direction=Direction.OUTBOUND)


def test_a_machine_is_hung_up_on() -> None:
    scene = outbound()
    scene.start()
    scene.run(0.5)
    scene.event(ev.MachineJudged(is_machine=True))
    assert scene.ended == ev.End(EndReason.MACHINE, by_agent=True)
    assert scene.written(ClearAudio)


def test_a_message_is_left_whole_once_the_machine_and_its_tone_are_over() -> None:
    scene = outbound(LEAVE)
    scene.start()
    scene.run(0.5)
    scene.sound(1.0)
    scene.event(ev.MachineJudged(is_machine=True))
    assert scene.session.state is State.HOLDING
    scene.sound(3.0)
    scene.run(1.0)
    scene.run(0.5, probability=0.01, level_dbfs=-15.0)
    toned_s = scene.now_s
    scene.run_until(lambda: scene.session.state is State.CLOSING)
    assert scene.now_s - toned_s == pytest.approx(1.2, abs=0.05)
    scene.sound(0.6)
    scene.event(ev.DigitPressed("1"))
    scene.run_until(lambda: scene.ended is not None)
    assert scene.ended == ev.End(EndReason.MACHINE, by_agent=True)
    assert scene.history()[-1] == ("agent", MESSAGE)
    assert scene.asked == []
    assert len(scene.written(ClearAudio)) == 1


def test_a_machine_that_does_not_stop_gets_its_message_all_the_same() -> None:
    scene = outbound(LEAVE)
    scene.start()
    scene.event(ev.MachineJudged(is_machine=True))
    scene.sound(30.2)
    assert scene.session.state is State.CLOSING


def test_a_machine_known_before_the_stream_is_not_greeted() -> None:
    scene = outbound(LEAVE)
    scene.event(ev.MachineJudged(is_machine=True))
    scene.run(0.1)
    scene.start()
    scene.sound(2.0)
    scene.run_until(lambda: scene.ended is not None)
    assert scene.history() == [("agent", MESSAGE)]


@pytest.mark.parametrize("how", ["partial", "final", "length"])
def test_a_machine_is_known_by_what_it_says_or_that_it_does_not_stop(how: str) -> None:
    scene = outbound()
    scene.start()
    scene.run(0.3)
    match how:
        case "partial":
            scene.say(GREETING, 3.0, partials=[(2.5, base.Partial(GREETING))])
        case "final":
            scene.say(GREETING, 3.0)
        case _:
            scene.say("", 6.1, is_understood=False)
    scene.run(0.6)
    assert scene.ended == ev.End(EndReason.MACHINE, by_agent=True)


def test_people_are_not_taken_for_machines() -> None:
    scene = outbound()
    scene.start()
    scene.run(0.3)
    scene.say("hello", 0.5)
    scene.until_listening()
    scene.say("well that is a long story", 8.0)
    scene.until_listening()
    assert scene.ended is None
    scene.run(3.0)
    scene.say("he is not available", 1.0)
    scene.until_listening()
    scene.say("you may leave a message after the tone", 1.0)
    scene.run(1.0)
    assert scene.ended is None


def test_callers_of_ours_are_never_judged_and_a_person_is_a_person() -> None:
    inbound = Scene(talk)
    inbound.start()
    inbound.run(0.3)
    inbound.say(GREETING, 7.0)
    inbound.run(1.0)
    assert inbound.ended is None
    person = outbound()
    person.start()
    person.event(ev.MachineJudged(is_machine=False))
    person.run(0.3)
    person.say(GREETING, 7.0)
    person.run(1.0)
    assert person.ended is None


def test_machines_may_be_talked_to_by_rule() -> None:
    scene = outbound(TurnTaking(machine=MachineRules(then=OnMachine.IGNORE)))
    scene.start()
    scene.run(0.3)
    scene.event(ev.MachineJudged(is_machine=True))
    scene.say(GREETING, 7.0)
    scene.run(1.0)
    assert scene.ended is None
    assert scene.asked


def test_a_message_that_no_voice_can_speak_ends_the_call_as_a_machines() -> None:
    scene = outbound(LEAVE)
    scene.start()
    scene.event(ev.MachineJudged(is_machine=True))
    scene.synthesis_s = 9.0
    scene.run_until(lambda: scene.session.state is State.CLOSING)
    name = [action.name for _, action in scene.actions if isinstance(action, ev.Speak)][-1]
    scene.event(ev.SentenceFailed(name))
    assert scene.ended == ev.End(EndReason.MACHINE, by_agent=True)
