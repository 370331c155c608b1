"""A conversation goes on in another process: as it was heard, nothing twice, nothing left out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.rules import TurnTaking
from services.agent.turn.states import State
from shared.protocol.call import EndReason
from shared.protocol.telephony import Checkpoint, ClearAudio
from tests.support.conversation import WALL_S, Scene

THREE = ("The first sentence is this one.", "The second one follows it.", "And here is a third.")
GREETING = "Hello, this is Parley. How can I help?"


def three(heard: base.Heard) -> Sequence[base.Piece]:
    return tuple(base.Say(text) for text in THREE)


def asked(scene: Scene, text: str = "tell me all of it please") -> Scene:
    scene.start()
    scene.until_listening()
    scene.say(text)
    scene.run_until(lambda: scene.session.state in (State.SPEAKING, State.CLOSING))
    return scene


def spoken(scene: Scene) -> list[str]:
    return [a.text for _, a in scene.actions if isinstance(a, ev.Speak)]


def said_by_agent(scene: Scene) -> str:
    return " ".join(text for who, text in scene.history() if who == "agent")


def test_goes_on_with_the_first_sentence_that_was_not_heard() -> None:
    first = asked(Scene(three))
    first.run_until(lambda: len(first.session.snapshot(0, 0).answer.heard) == 1)  # type: ignore[union-attr]
    second = first.moved()
    assert spoken(second) == list(THREE[1:])
    assert second.written(Checkpoint) == [second.now_s]
    second.until_listening()
    assert second.history()[:2] == first.history()
    assert second.history()[2] == ("agent", " ".join(THREE))
    assert second.asked == []


def test_what_another_worker_has_queued_is_cleared_when_it_does_not_end() -> None:
    first = asked(Scene(three))
    second = first.moved()
    second.handset.acknowledges = False
    second.handset.queue.clear()
    second.run(0.7)
    assert second.session.due(second.now_s).commands == ()
    second.run(0.2)
    assert len(second.written(ClearAudio)) == 1
    second.event(ev.AudioCleared())
    second.run(0.2)
    assert second.session.due(second.now_s + 0.1).commands != ()


def test_a_checkpoint_that_comes_back_late_is_heard_and_not_said_again() -> None:
    first = asked(Scene(three))
    first.run_until(lambda: first.session.playout.sentences[0].is_sent)
    old = first.session.playout.sentences[0].checkpoint
    assert old is not None
    second = Scene(three, kept=first.taken_down())
    second.start("stream-2")
    second.event(ev.CheckpointPlayed(old))
    second.until_listening()
    assert said_by_agent(second) == f"{GREETING} {' '.join(THREE)}"
    assert len(second.handset.heard) < len(" ".join(THREE[1:])) / 15 * 8000 + 800


def test_an_answer_still_being_thought_is_asked_for_anew_with_what_was_heard_as_history() -> None:
    first = asked(Scene(three, piece_s=2.5))
    first.run_until(lambda: len(first.session.snapshot(0, 0).answer.heard) == 1)  # type: ignore[union-attr]
    second = first.moved()
    (again,) = [a for _, a in second.actions if isinstance(a, ev.Ask)]
    assert again.heard == base.Words("tell me all of it please", is_understood=True)
    assert [m.text for m in again.history] == [GREETING, "tell me all of it please", THREE[0]]
    second.until_listening()
    assert spoken(second) == list(THREE[1:])
    assert said_by_agent(second) == f"{GREETING} {' '.join(THREE)}"


def test_a_sentence_heard_to_its_end_meanwhile_is_not_said_when_the_answer_comes_again() -> None:
    first = asked(Scene(three, piece_s=2.5))
    first.run_until(lambda: first.session.playout.sentences[0].is_sent)
    old = first.session.playout.sentences[0].checkpoint
    second = Scene(three, kept=first.taken_down(), piece_s=2.5)
    second.start("stream-2")
    assert old is not None
    second.event(ev.CheckpointPlayed(old))
    second.until_listening()
    assert said_by_agent(second) == f"{GREETING} {' '.join(THREE)}"
    assert len(second.handset.heard) < len(" ".join(THREE[1:])) / 15 * 8000 + 800


def test_an_answer_that_has_another_beginning_is_said_whole() -> None:
    first = asked(Scene(three, piece_s=2.5))
    first.run_until(lambda: len(first.session.snapshot(0, 0).answer.heard) == 1)  # type: ignore[union-attr]
    first.script = lambda _: (base.Say("Another beginning. " + THREE[0]),)
    second = first.moved()
    second.until_listening()
    assert spoken(second) == ["Another beginning.", THREE[0]]


def test_a_goodbye_is_said_and_the_call_ended() -> None:
    first = asked(Scene(lambda _: (base.Say("Goodbye then."), base.EndCall("done"))))
    second = first.moved()
    assert second.session.state is State.CLOSING
    second.run_until(lambda: second.ended is not None)
    assert second.ended == ev.End(EndReason.AGENT_HUNG_UP, by_agent=True)
    assert second.history()[-1] == ("agent", "Goodbye then.")


def test_the_time_of_the_call_counts_on() -> None:
    rules = TurnTaking(max_call_s=60.0)
    first = Scene(three, rules=rules)
    first.start()
    first.run(10)
    second = Scene(three, rules=rules, kept=first.taken_down(), away_s=40.0)
    second.start("stream-2")
    states = []
    for seconds in (9, 2):
        second.run(seconds)
        states.append(second.session.state)
    assert states == [State.LISTENING, State.CLOSING]
    assert second.session.transcript[0]["at_ms"] == first.session.transcript[0]["at_ms"]


def test_a_greeting_is_not_said_again_once_it_was_heard() -> None:
    first = Scene(three)
    first.start()
    first.until_listening()
    second = first.moved()
    second.run(1)
    assert second.session.state is State.LISTENING
    assert spoken(second) == []
    assert [a for _, a in second.actions if isinstance(a, ev.Greet)] == []


def test_a_greeting_that_nobody_heard_is_said() -> None:
    first = Scene(three)
    first.start()
    first.run(0.1)
    second = first.moved()
    second.until_listening()
    assert second.history() == [("agent", GREETING)]


def test_a_greeting_that_was_not_thought_yet_is_asked_for() -> None:
    first = Scene(three, brain_s=5.0)
    first.start()
    second = first.moved()
    assert [type(a) for _, a in second.actions if isinstance(a, ev.Greet)] == [ev.Greet]


def test_what_is_expected_of_the_caller_is_expected_still() -> None:
    wanted = base.Expectation(("yes", "no"), digits=True, silence_s=3.0)
    first = Scene(three, greeting=(base.Say("Yes or no?"), base.Expect(wanted)))
    first.start()
    first.until_listening()
    assert ev.ListenFor(wanted) in [a for _, a in first.moved().actions]


def test_words_that_waited_for_the_agents_end_are_answered() -> None:
    held = (base.Say("This has to be heard to its very end by all.", is_interruptible=False),)
    first = asked(Scene(lambda _: held))
    first.say("and one more thing")
    first.run_until(lambda: bool(first.session.snapshot(0, 0).unanswered))
    assert first.session.state is State.SPEAKING
    second = first.moved()
    second.run_until(lambda: bool(second.asked))
    assert second.asked == [base.Words("and one more thing", is_understood=True)]


def test_open_words_are_to_be_heard_again_and_settled_ones_are_not() -> None:
    scene = Scene(three)
    scene.start()
    scene.until_listening()
    assert scene.session.open_since_s is None
    begun_s = scene.now_s
    scene.sound(0.5)
    open_s = scene.session.open_since_s
    assert open_s == pytest.approx(begun_s, abs=0.1)
    assert scene.moved().session.state is State.LISTENING
    scene.run_until(lambda: scene.session.state is State.LISTENING)
    assert scene.session.open_since_s is None


def test_a_call_that_nothing_is_known_of_says_so_and_listens() -> None:
    fresh = Scene(three, amid="Sorry, where were we?")
    fresh.start()
    fresh.until_listening()
    assert fresh.history() == [("agent", "Sorry, where were we?")]
    fresh.say("tell me more")
    fresh.run_until(lambda: bool(fresh.asked))


@pytest.mark.parametrize("is_gathering", [True, False])
def test_a_caller_who_was_away_is_told_or_answered(is_gathering: bool) -> None:
    leave: base.Piece = (
        base.GatherDigits("Type.") if is_gathering else base.Transfer("+918000000001")
    )
    first = asked(Scene(lambda h: () if isinstance(h, base.Digits) else (base.Say("Now."), leave)))
    first.run_until(lambda: first.session.state is State.AWAY)
    second = first.moved()
    second.until_listening()
    if is_gathering:
        assert second.asked == [base.Digits("")]
    else:
        assert second.history()[-1] == ("agent", TurnTaking().failure.transfer_failed)


def test_a_machine_is_waited_out_still() -> None:
    first = asked(Scene(three))
    kept = first.taken_down()
    scene = Scene(three, kept=type(kept)(State.HOLDING, begun_wall_s=WALL_S, is_machine=True))
    scene.start()
    scene.run(2)
    assert scene.session.state is State.CLOSING or scene.ended is not None


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from(("yes that is right", "mm-hm", "stop it now"))),
        st.tuples(st.just("run"), st.floats(0.02, 3.0)),
        st.tuples(st.just("cough"), st.floats(0.1, 0.4)),
        st.tuples(st.just("key"), st.sampled_from("12#")),
    ),
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(_STEPS, st.floats(0.0, 1.5), st.sampled_from((0.0, 0.7)))
def test_what_happened_before_is_history_and_the_rest_is_said_once(
    steps: list[tuple[str, str | float]], last_s: float, piece_s: float
) -> None:
    first = Scene(three, piece_s=piece_s)
    first.start()
    for kind, what in steps:
        if kind == "say":
            first.say(str(what))
        elif kind == "run":
            first.run(float(what))
        elif kind == "cough":
            first.cough(float(what))
        else:
            first.event(ev.DigitPressed(str(what)))
    first.run(last_s)
    kept = first.taken_down()
    second = first.moved()
    before = first.history()
    assert second.history()[: len(before)] == before
    answer = kept.answer
    if answer is not None and (answer.is_read or answer.answers is None):
        assert spoken(second)[: len(answer.unsaid)] == [one.text for one in answer.unsaid]
    known = [*answer.heard] if answer is not None else []
    second.until_listening()
    told = second.history()[len(before) :]
    if answer is None:
        return
    agent = " ".join(text for who, text in told if who == "agent")
    if answer.is_read:
        assert agent.startswith(" ".join([*known, *(one.text for one in answer.unsaid)]))
    elif answer.answers is not None:
        assert agent.startswith(" ".join(THREE))
