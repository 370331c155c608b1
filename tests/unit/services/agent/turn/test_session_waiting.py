"""A caller who waits: for words to be recognised, for an answer, for somebody who can hear."""

from __future__ import annotations

from itertools import pairwise

import pytest

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.rules import FailureRules, FillerRules, OnFailure, TurnTaking
from services.agent.turn.states import State
from shared.protocol.call import EndReason
from tests.support.conversation import Scene

RULES = TurnTaking(
    filler=FillerRules(("One moment.", "Just a second."), after_s=1.0),
    failure=FailureRules(apology="Something is wrong."),
)


def answer(_heard: base.Heard) -> list[base.Piece]:
    return [base.Say("Here you are.")]


def listening(*, rules: TurnTaking = RULES, transcription_s: float = 0.01) -> Scene:
    scene = Scene(answer, rules=rules, transcription_s=transcription_s)
    scene.start()
    scene.until_listening()
    return scene


def fillers(scene: Scene) -> list[tuple[float, str]]:
    return [
        (at_s, action.text)
        for at_s, action in scene.actions
        if isinstance(action, ev.SpeakPrepared) and action.name.startswith("filler")
    ]


def test_a_filler_comes_while_the_words_themselves_are_waited_for() -> None:
    # A recogniser that had stalled left the caller alone for as long as it was waited for.
    scene = listening(transcription_s=2.5)
    scene.say("what now")
    ended_s = scene.now_s
    scene.run(5.0)
    ((at_s, text),) = fillers(scene)
    assert text == "One moment."
    assert at_s - ended_s == pytest.approx(1.0, abs=0.1)
    assert scene.history()[-2:] == [
        ("caller", "what now"),
        ("agent", "One moment. Here you are."),
    ]
    assert scene.session.state is State.LISTENING


def test_the_answer_waits_for_the_filler_to_be_said() -> None:
    scene = listening(transcription_s=1.0)  # in the midst of it
    scene.say("what now")
    scene.until_listening()
    assert scene.history()[-1] == ("agent", "One moment. Here you are.")
    assert not scene.session.transcript[-1]["is_interrupted"]


def test_the_turn_is_measured_by_its_answer_not_by_its_filler() -> None:
    scene = listening(transcription_s=2.5)
    scene.say("what now")
    scene.run(5.0)
    (total,) = [
        action.seconds
        for _, action in scene.actions
        if isinstance(action, ev.Measure) and action.stage is ev.Stage.TOTAL
    ]
    assert total > 2.5


def test_a_key_pressed_over_a_filler_is_answered() -> None:
    scene = listening(transcription_s=30.0)
    scene.say("what now")
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.event(ev.DigitPressed("1"))
    scene.run(3.0)
    assert base.Digit("1") in scene.asked
    assert scene.history()[-1][1].endswith("Here you are.")


def test_a_filler_that_was_not_prepared_holds_nothing_up() -> None:
    scene = Scene(answer, rules=RULES, transcription_s=2.0, prepared=False)
    scene.start()
    scene.until_listening()
    scene.say("what now")
    scene.run(4.0)
    assert scene.history()[-1] == ("agent", "Here you are.")


def test_a_long_wait_is_bridged_again_but_not_for_ever() -> None:
    scene = listening()
    scene.brain_s = 60.0
    scene.say("what now")
    ended_s = scene.now_s
    scene.run(40.0)
    times = [at_s - ended_s for at_s, _ in fillers(scene)]
    assert [text for _, text in fillers(scene)] == ["One moment.", "Just a second."] * 2
    assert times[0] == pytest.approx(1.0, abs=0.1)
    # A filler takes under a second, and a second and a half of silence follow it.
    assert all(1.5 <= later - sooner <= 3.0 for sooner, later in pairwise(times))


def test_an_answer_that_stops_in_its_midst_is_bridged() -> None:
    scene = listening()
    scene.brain_s = 60.0
    scene.say("what now")
    scene.run(0.6)
    (ask,) = [action for _, action in scene.actions if isinstance(action, ev.Ask)]
    scene.event(ev.ReplyPiece(ask.generation, base.Say("Well.")))
    scene.run(3.0)
    assert [text for _, text in fillers(scene)] == ["One moment."]


def test_settled_words_are_not_waited_for_as_long_as_unknown_ones() -> None:
    scene = listening(transcription_s=30.0)
    settled = base.Partial("what now?", is_settled=True, is_end=True)
    scene.say("what now?", 0.8, partials=[(0.85, settled)])
    ended_s = scene.now_s
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    assert scene.now_s - ended_s < 1.6
    assert scene.history()[-1] == ("caller", "what now?")


def test_a_guess_that_failed_is_not_begun_again_and_again() -> None:
    # A model that was down was asked four times within a turn, each time a failure of its own.
    scene = listening()
    scene.brain_s = 60.0
    settled = base.Partial("what now?", is_settled=True, is_end=True)
    scene.say("what now?", 0.8, partials=[(0.7, settled)])
    scene.run_until(lambda: bool(scene.guessed))
    scene.event(ev.ReplyFailed(scene.guessed[0].generation))
    scene.run(2.0)
    assert len(scene.guessed) == 1
    assert len(scene.asked) == 1


# --- nobody hears -------------------------------------------------------------------------------


def test_when_nobody_hears_the_caller_is_told_and_the_call_ends() -> None:
    scene = listening()
    scene.event(ev.HearingFailed())
    scene.run(4.0)
    assert scene.history()[-1] == ("agent", "Something is wrong.")
    assert scene.ended == ev.End(EndReason.PROVIDER_FAILED, by_agent=True)
    assert ev.Tally.APOLOGY in scene.tallies()


def test_what_is_being_said_is_said_first() -> None:
    scene = Scene(answer, rules=RULES)
    scene.start()
    scene.run(0.5)
    scene.event(ev.HearingFailed())
    scene.dropped.clear()  # no more of it is made, what was made is said
    scene.event(ev.HearingFailed())  # told again and again, said once
    scene.run(8.0)
    assert scene.history() == [
        ("agent", "Hello, this is Parley. How can I help? Something is wrong.")
    ]
    assert scene.tallies().count(ev.Tally.APOLOGY) == 1
    assert scene.ended is not None


def test_the_caller_is_handed_over_where_the_agent_says_so() -> None:
    failure = FailureRules("Wrong.", OnFailure.TRANSFER, "+918000000009")
    scene = listening(rules=TurnTaking(failure=failure))
    scene.sound(0.5)  # even while speaking
    scene.event(ev.HearingFailed())
    scene.run(3.0)
    assert ev.LeaveToTransfer("+918000000009") in [action for _, action in scene.actions]
    assert scene.session.state is State.AWAY


def test_without_an_apology_the_gateway_speaks() -> None:
    scene = listening(rules=TurnTaking(failure=FailureRules(apology="")))
    scene.event(ev.HearingFailed())
    assert scene.ended == ev.End(EndReason.PROVIDER_FAILED, by_agent=False)


def test_before_the_caller_is_there_nothing_is_said() -> None:
    scene = Scene(answer, rules=RULES)
    scene.event(ev.HearingFailed())
    assert scene.session.state is State.WAITING
    assert scene.tallies() == []
