"""When the caller's turn is over, and answers that are begun before it is certain."""

from __future__ import annotations

import pytest

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.rules import EndpointingRules, TurnTaking
from services.agent.turn.states import State
from tests.support.conversation import Scene


def echo(heard: base.Heard) -> list[base.Piece]:
    return [base.Say(f"You said {heard.text}.")] if isinstance(heard, base.Words) else []


def listening(scene: Scene) -> Scene:
    scene.start()
    scene.until_listening()
    return scene


def settled(text: str, *, is_end: bool = False) -> base.Partial:
    return base.Partial(text, is_settled=True, is_end=is_end)


def wait_of(scene: Scene, text: str, *partials: base.Partial) -> float:
    """How long after the caller's last sound the end of the turn was decided."""
    scene.say(text, 0.8, partials=[(0.85, partial) for partial in partials])
    ended_s = scene.now_s
    count = len(scene.times(ev.EndListening))
    scene.run_until(lambda: len(scene.times(ev.EndListening)) > count)
    return scene.now_s - ended_s


@pytest.mark.parametrize(
    ("partial", "wait_s"),
    [
        (None, 0.5),
        (base.Partial("what time is it"), 0.5),
        (settled("What time is it?"), 0.3),
        (settled("what time is it", is_end=True), 0.3),
        (base.Partial("what time is it?"), 0.5),
        (settled("my number is"), 1.4),
        (base.Partial("I would like to"), 1.4),
        (base.Partial("five five five"), 1.4),
    ],
)
def test_the_wait_follows_the_words(partial: base.Partial | None, wait_s: float) -> None:
    scene = listening(Scene(echo))
    partials = [] if partial is None else [partial]
    assert wait_of(scene, "whatever", *partials) == pytest.approx(wait_s, abs=0.03)


def test_words_that_are_expected_are_complete() -> None:
    expect = base.Expect(base.Expectation(phrases=("yes that is right",)))
    scene = listening(Scene(echo, greeting=(base.Say("Is it right?"), expect)))
    assert wait_of(scene, "x", settled("yes that is right")) == pytest.approx(0.3, abs=0.03)


def test_words_older_than_the_last_sound_say_nothing_of_the_end() -> None:
    scene = listening(Scene(echo))
    scene.say("It is late. And then", 2.0, partials=[(1.0, settled("It is late."))])
    ended_s = scene.now_s
    scene.run_until(lambda: bool(scene.times(ev.EndListening)))
    assert scene.now_s - ended_s == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("score", "wait_s"), [(0.95, 0.3), (0.5, 0.5), (0.05, 1.4)])
def test_the_model_is_asked_once_in_a_pause_and_heeded(score: float, wait_s: float) -> None:
    scene = listening(Scene(echo))
    scene.say("hello")
    ended_s = scene.now_s
    scene.run(0.2)
    (number,) = [a.number for _, a in scene.actions if isinstance(a, ev.ScoreTurn)]
    scene.event(ev.TurnScored(number, score))
    scene.event(ev.TurnScored(number + 5, 0.5))
    scene.run_until(lambda: bool(scene.times(ev.EndListening)))
    assert scene.now_s - ended_s == pytest.approx(wait_s, abs=0.05)
    assert len(scene.times(ev.ScoreTurn)) == 1


def test_a_score_is_of_its_pause_alone() -> None:
    scene = listening(Scene(echo))
    scene.say("hello")
    scene.run(0.24)
    scene.event(ev.TurnScored(1, 0.05))
    scene.sound(0.4)
    ended_s = scene.now_s
    scene.run_until(lambda: bool(scene.times(ev.EndListening)))
    assert scene.now_s - ended_s == pytest.approx(0.5, abs=0.03)
    assert [a.number for _, a in scene.actions if isinstance(a, ev.ScoreTurn)] == [1, 2]


def test_a_caller_who_goes_on_within_the_wait_is_in_the_same_utterance() -> None:
    scene = listening(Scene(echo))
    scene.say("my number is five five five", partials=[(0.85, settled("my number is"))])
    scene.run(1.2)
    scene.sound(1.0)
    scene.run(1.6)
    assert len(scene.times(ev.BeginListening)) == len(scene.times(ev.EndListening)) == 1


def test_who_was_nearly_cut_off_is_given_longer_and_it_wears_off() -> None:
    scene = listening(Scene(echo))
    scene.say("hello")
    scene.run(0.44)
    scene.sound(0.5)
    scene.until_listening()
    longer_s = wait_of(scene, "and more")
    assert 0.52 <= longer_s <= 0.7
    for _ in range(8):
        scene.until_listening()
        last_s = wait_of(scene, "and more")
    assert last_s == pytest.approx(0.5, abs=0.03)


def test_who_was_cut_off_is_given_longer() -> None:
    scene = listening(Scene(echo, brain_s=1.0))
    scene.say("i was thinking")
    scene.run(0.8)
    scene.say("about a room", 1.0)
    scene.until_listening()
    assert wait_of(scene, "right away") > 0.8


def test_nobody_is_waited_for_longer_than_the_most() -> None:
    scene = listening(Scene(echo))
    for _ in range(4):
        scene.say("hello", partials=[(0.85, settled("and"))])
        scene.run(1.3)
        scene.sound(0.3)
        scene.until_listening()
    assert wait_of(scene, "so", settled("so")) <= 1.43


def test_who_does_not_want_to_adapt_waits_the_same() -> None:
    rules = TurnTaking(endpointing=EndpointingRules(is_adaptive=False))
    scene = listening(Scene(echo, rules=rules))
    scene.say("hello")
    scene.run(0.44)
    scene.sound(0.5)
    scene.until_listening()
    assert wait_of(scene, "and more") == pytest.approx(0.5, abs=0.03)


# --- answers on a likely end --------------------------------------------------------------------


def test_an_answer_is_begun_on_a_likely_end_and_goes_out_when_it_is_certain() -> None:
    scene = listening(Scene(echo, brain_s=0.1, synthesis_s=0.1))
    heard = len(scene.handset.heard)
    scene.say("What time is it?", partials=[(0.85, settled("What time is it?"))])
    ended_s = scene.now_s
    scene.run(0.24)
    (guess,) = scene.guessed
    assert guess.history[-1] == base.Message("caller", "What time is it?")
    assert scene.history()[-1][0] == "agent"
    assert scene.asked == []
    assert len(scene.handset.heard) == heard
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    # Without the guess it were 0.3 of silence and 0.2 of brain and voice.
    assert scene.now_s - ended_s < 0.45
    scene.until_listening()
    assert scene.asked == [base.Words("What time is it?", is_understood=True)]
    assert scene.history()[-2:] == [
        ("caller", "What time is it?"),
        ("agent", "You said What time is it?."),
    ]
    assert scene.tallies().count(ev.Tally.SPECULATION_USED) == 1
    confirmed = [action for _, action in scene.actions if isinstance(action, ev.Confirm)]
    assert confirmed == [ev.Confirm(guess.generation)]


def test_stages_of_a_guessed_answer_sum_up_too() -> None:
    scene = listening(Scene(echo, synthesis_s=0.05))
    scene.say("What time is it?", partials=[(0.85, settled("What time is it?"))])
    scene.until_listening()
    (entry,) = [e for e in scene.session.transcript if "latency_ms" in e]
    stages = entry["latency_ms"]
    assert stages["brain"] == 0
    assert stages["endpointing"] == pytest.approx(300, abs=30)
    parts = sum(ms for name, ms in stages.items() if name != "total")
    assert parts == pytest.approx(stages["total"], abs=0.3)


def test_punctuation_and_capitals_of_the_final_do_not_spoil_a_guess() -> None:
    scene = listening(Scene(echo))
    scene.say("what time is it", partials=[(0.85, settled("What time is it?"))])
    scene.until_listening()
    assert ev.Tally.SPECULATION_USED in scene.tallies()


def test_other_words_in_the_end_have_another_answer() -> None:
    scene = listening(Scene(echo))
    scene.say("What time was it?", partials=[(0.85, settled("What time is it?"))])
    scene.until_listening()
    assert scene.history()[-1] == ("agent", "You said What time was it?.")
    assert ev.Tally.SPECULATION_DROPPED in scene.tallies()
    assert ev.Abandon(scene.guessed[0].generation, rewinds=True) in [a for _, a in scene.actions]
    assert len(scene.asked) == 1


def test_a_caller_who_goes_on_never_hears_the_guess() -> None:
    scene = listening(Scene(echo))
    rules = [(0.85, settled("It is late."))]
    scene.say("It is late. And I am tired", partials=rules)
    scene.run(0.26)
    assert len(scene.guessed) == 1
    heard = len(scene.handset.heard)
    scene.sound(0.3)
    assert ev.Tally.SPECULATION_DROPPED in scene.tallies()
    assert len(scene.handset.heard) == heard
    scene.until_listening()
    assert scene.asked == [base.Words("It is late. And I am tired", is_understood=True)]
    assert len(scene.history()) == 3


def test_what_a_guess_expects_holds_only_once_it_is_wanted() -> None:
    expect = base.Expectation(phrases=("a", "b"))

    def answer(_: base.Heard) -> list[base.Piece]:
        return [base.Expect(expect), base.SwitchLanguage("hi"), base.Say("Yes.")]

    scene = listening(Scene(answer))
    scene.say("Is it late?", partials=[(0.85, settled("Is it late?"))])
    scene.run(0.26)
    assert scene.guessed
    assert not scene.times(ev.ListenFor)
    assert not scene.times(ev.ChangeLanguage)
    scene.sound(0.3)
    assert not scene.times(ev.ListenFor)
    scene.run(0.1)
    scene.until_listening()
    assert len(scene.times(ev.ListenFor)) == len(scene.times(ev.ChangeLanguage)) == 1
    assert scene.history()[-1] == ("agent", "Yes.")


def test_expectations_of_a_dropped_guess_are_dropped_even_when_late() -> None:
    scene = listening(Scene(echo, brain_s=5.0))
    scene.say("It is late. And", partials=[(0.85, settled("It is late."))])
    scene.run(0.26)
    scene.sound(0.3)
    generation = scene.guessed[0].generation
    late = base.Expect(base.Expectation(phrases=("no",)))
    scene.event(ev.ReplyPiece(generation, late))
    assert not scene.times(ev.ListenFor)


@pytest.mark.parametrize("failure", ["brain", "voice"])
def test_a_guess_that_fails_is_asked_again_and_nobody_notices(failure: str) -> None:
    scene = listening(Scene(echo, brain_s=0.3 if failure == "brain" else 0.0, synthesis_s=0.2))
    scene.say("Is it late?", partials=[(0.85, settled("Is it late?"))])
    scene.run(0.26)
    generation = scene.guessed[0].generation
    if failure == "brain":
        scene.event(ev.ReplyFailed(generation))
    else:
        scene.event(ev.SentenceFailed(f"{generation}.1"))
    scene.until_listening()
    assert scene.history()[-1] == ("agent", "You said Is it late?.")
    assert ev.Tally.APOLOGY not in scene.tallies()


def test_no_guess_without_the_rule() -> None:
    rules = TurnTaking(endpointing=EndpointingRules(is_speculative=False))
    scene = listening(Scene(echo, rules=rules))
    scene.say("Is it late?", partials=[(0.85, settled("Is it late?"))])
    scene.until_listening()
    assert scene.guessed == []
    assert len(scene.asked) == 1


def test_settled_words_stand_in_for_a_final_that_does_not_come() -> None:
    scene = listening(Scene(echo, transcription_s=9.0))
    scene.say("Is it late?", partials=[(0.85, settled("Is it late?"))])
    scene.until_listening()
    assert scene.history()[-1] == ("agent", "You said Is it late?.")
    scene.run(7.0)
    assert [heard for heard in scene.asked if isinstance(heard, base.Words)] == [
        base.Words("Is it late?", is_understood=True)
    ]


def test_early_words_belong_to_the_speech_that_is_found_next() -> None:
    scene = listening(Scene(echo))
    scene.event(ev.TranscriptGrew(base.Partial("my number is")))
    assert wait_of(scene, "my number is") == pytest.approx(0.5, abs=0.03)
    scene.until_listening()
    scene.event(ev.TranscriptGrew(base.Partial("my number is")))
    scene.say("x", 0.1)
    ended_s = scene.now_s
    scene.run_until(lambda: len(scene.times(ev.EndListening)) == 2)
    assert scene.now_s - ended_s > 1.0
