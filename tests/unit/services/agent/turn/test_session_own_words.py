"""What the session says by itself: fillers, apologies, last words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.rules import (
    FailureRules,
    FillerRules,
    OnFailure,
    TurnTaking,
)
from services.agent.turn.states import State
from shared.protocol.call import EndReason
from shared.protocol.telephony import ClearAudio
from tests.support.conversation import Scene

APOLOGY = FailureRules().apology
FILLERS = TurnTaking(filler=FillerRules(texts=("One moment.", "Just a second."), after_s=1.0))


def echo(heard: base.Heard) -> list[base.Piece]:
    return [base.Say(f"You said {heard.text}.")] if isinstance(heard, base.Words) else []


def listening(scene: Scene) -> Scene:
    scene.start()
    scene.until_listening()
    return scene


def prepared(scene: Scene) -> list[str]:
    return [a.text for _, a in scene.actions if isinstance(a, ev.SpeakPrepared)]


# --- fillers ------------------------------------------------------------------------------------


def test_a_slow_answer_is_bridged_once_and_each_filler_has_its_turn() -> None:
    scene = listening(Scene(echo, brain_s=2.5, rules=FILLERS))
    scene.say("hello")
    ended_s = scene.now_s
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    assert scene.now_s - ended_s == pytest.approx(1.0, abs=0.05)
    scene.until_listening()
    scene.say("again")
    scene.until_listening()
    assert prepared(scene) == ["One moment.", "Just a second."]
    assert scene.history()[-1] == ("agent", "Just a second. You said again.")
    assert scene.tallies().count(ev.Tally.FILLER) == 2


def test_a_filler_is_no_answer_when_turns_are_measured() -> None:
    scene = listening(Scene(echo, brain_s=2.0, rules=FILLERS))
    scene.say("hello")
    scene.until_listening()
    (entry,) = [e for e in scene.session.transcript if "latency_ms" in e]
    assert entry["latency_ms"]["brain"] == pytest.approx(2000, abs=40)


def test_a_filler_comes_before_speech_that_is_still_being_made() -> None:
    scene = listening(Scene(echo, synthesis_s=1.5, rules=FILLERS))
    scene.say("hello")
    scene.until_listening()
    assert scene.history()[-1] == ("agent", "One moment. You said hello.")


def test_a_quick_answer_a_greeting_and_a_silence_need_no_filler() -> None:
    scene = listening(Scene(echo, rules=FILLERS, brain_s=0.2))
    scene.say("hello")
    scene.until_listening()
    slow = Scene(echo, rules=FILLERS, brain_s=3.0)
    slow.run(3.0)
    slow.start()
    slow.until_listening()
    slow.run(9.0)
    assert prepared(scene) == prepared(slow) == []


def test_an_answer_to_a_key_is_bridged_too() -> None:
    def answer(heard: base.Heard) -> list[base.Piece]:
        return [base.Say("A key.")]

    scene = listening(Scene(answer, brain_s=2.0, rules=FILLERS))
    scene.event(ev.DigitPressed("1"))
    scene.until_listening()
    assert scene.history()[-1] == ("agent", "One moment. A key.")


def test_a_filler_that_is_not_at_hand_is_gone_without() -> None:
    scene = listening(Scene(echo, brain_s=2.0, rules=FILLERS, prepared=False))
    scene.say("hello")
    scene.until_listening()
    assert scene.history()[-1] == ("agent", "You said hello.")


# --- failure ------------------------------------------------------------------------------------


def fail_brain(scene: Scene) -> None:
    scene.event(ev.ReplyFailed(2))


def fail_voice(scene: Scene) -> None:
    scene.event(ev.SentenceFailed("2.1"))


FAILURES = pytest.mark.parametrize("fail", [fail_brain, fail_voice], ids=["brain", "voice"])


def failing(fail: Callable[[Scene], None], **more: object) -> Scene:
    is_brain = fail is fail_brain
    scene = Scene(
        echo,
        brain_s=5.0 if is_brain else 0.0,
        synthesis_s=0.02 if is_brain else 1.0,
        **more,  # type: ignore[arg-type]  # scenes differ in one argument
    )
    listening(scene)
    scene.say("hello")
    scene.run(0.6)
    fail(scene)
    return scene


@FAILURES
def test_when_all_has_failed_the_caller_hears_so_and_the_agent_hangs_up(
    fail: Callable[[Scene], None],
) -> None:
    scene = failing(fail)
    scene.sound(0.5)
    scene.run_until(lambda: scene.ended is not None)
    assert scene.ended == ev.End(EndReason.PROVIDER_FAILED, by_agent=True)
    assert scene.history()[-1] == ("agent", APOLOGY)
    assert not scene.session.history[-1].is_interrupted
    assert not scene.written(ClearAudio)
    assert scene.tallies().count(ev.Tally.APOLOGY) == 1


@FAILURES
def test_or_is_handed_over(fail: Callable[[Scene], None]) -> None:
    rules = FailureRules(then=OnFailure.TRANSFER, transfer_to="+918000000001")
    scene = failing(fail, rules=TurnTaking(failure=rules))
    scene.run_until(lambda: scene.session.state is State.AWAY)
    assert scene.times(ev.LeaveToTransfer)
    assert scene.history()[-1] == ("agent", APOLOGY)
    scene.event(ev.TransferFailed())
    assert scene.ended == ev.End(EndReason.PROVIDER_FAILED, by_agent=True)


@FAILURES
def test_without_an_apology_at_hand_the_gateway_speaks(fail: Callable[[Scene], None]) -> None:
    assert failing(fail, prepared=False).ended == ev.End(EndReason.PROVIDER_FAILED, by_agent=False)
    silent = TurnTaking(failure=FailureRules(apology=""))
    assert failing(fail, rules=silent).ended == ev.End(EndReason.PROVIDER_FAILED, by_agent=False)


def test_a_greeting_that_fails_before_the_stream_is_excused_when_it_comes() -> None:
    scene = Scene(echo, greeting=(), brain_s=9.0)
    scene.event(ev.ReplyFailed(1))
    assert scene.session.state is State.WAITING
    scene.start()
    scene.run_until(lambda: scene.ended is not None)
    assert scene.history() == [("agent", APOLOGY)]


def test_what_was_made_of_a_broken_answer_is_heard_before_the_apology() -> None:
    def two(_: base.Heard) -> list[base.Piece | None]:
        return [base.Say("This much is known."), base.Say("And this is as well."), None]

    scene = listening(Scene(two, piece_s=0.2))
    scene.say("hello")
    scene.run_until(lambda: scene.ended is not None)
    assert scene.history()[-1] == ("agent", f"This much is known. And this is as well. {APOLOGY}")


def test_a_sentence_that_breaks_off_in_its_midst_counts_as_far_as_it_came() -> None:
    scene = listening(Scene(echo, synthesis_s=30.0, greeting=()))
    scene.say("a long story, and so on and on")
    scene.run(0.6)
    scene.event(ev.SentenceAudio("2.1", b"\x01" * 8000, -20.0, is_last=False))
    scene.run(0.3)
    scene.event(ev.SentenceFailed("2.1"))
    scene.run_until(lambda: scene.ended is not None)
    role, text = scene.history()[-1]
    assert role == "agent"
    assert text == f"You said a long {APOLOGY}"


def test_an_answer_that_ends_the_call_does_so_even_if_the_brain_breaks_then() -> None:
    def bye(_: base.Heard) -> list[base.Piece | None]:
        return [base.Say("Goodbye."), base.EndCall("done"), None]

    scene = listening(Scene(bye))
    scene.say("bye")
    scene.run_until(lambda: scene.ended is not None)
    assert scene.ended == ev.End(EndReason.AGENT_HUNG_UP, by_agent=True)
    assert scene.history()[-1] == ("agent", "Goodbye.")


def test_failure_while_the_caller_interrupts_is_forgiven_if_they_take_the_turn() -> None:
    scene = listening(Scene(echo, brain_s=0.3))
    scene.say("hello")
    scene.run(0.6)
    scene.sound(0.1)
    assert scene.session.state is State.PAUSED
    scene.event(ev.ReplyFailed(2))
    scene.say("hello again", 0.5, partials=[(0.1, base.Partial("hello again"))])
    scene.until_listening()
    assert scene.ended is None
    assert APOLOGY not in scene.history()[-1][1]


# --- the time limit -----------------------------------------------------------------------------


def test_the_time_limit_is_told_over_anything_and_nothing_stops_it() -> None:
    rules = TurnTaking(max_call_s=6.0, time_limit_text="Time is up.")
    scene = listening(Scene(lambda _: [base.Say("On and on. " * 20)], rules=rules))
    scene.say("go on")
    scene.run_until(lambda: scene.session.state is State.CLOSING)
    scene.say("but", 0.4)
    scene.run_until(lambda: scene.ended is not None)
    assert scene.ended == ev.End(EndReason.TIME_LIMIT, by_agent=True)
    assert scene.history()[-1] == ("agent", "Time is up.")
    assert len(scene.written(ClearAudio)) == 1
    assert scene.session.history[-2].is_interrupted


@pytest.mark.parametrize("text", ["", "Time is up."])
def test_a_time_limit_without_words_at_hand_ends_the_call_at_once(text: str) -> None:
    rules = TurnTaking(max_call_s=4.0, time_limit_text=text)
    scene = listening(Scene(echo, rules=rules, prepared=False))
    scene.run(1.5)
    assert scene.ended == ev.End(EndReason.TIME_LIMIT, by_agent=True)


def test_last_words_that_do_not_end_are_ended() -> None:
    scene = listening(Scene(echo, rules=TurnTaking(max_call_s=5.0)))
    scene.run_until(lambda: scene.session.state is State.CLOSING)
    scene.session.playout.leave()
    scene.run_until(lambda: scene.ended is not None, within_s=40.0)
    assert scene.ended == ev.End(EndReason.TIME_LIMIT, by_agent=True)
