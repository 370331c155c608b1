"""Whatever happens in whatever order, a session makes only moves of its table and comes to rest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.agent import events as ev
from services.agent.providers import base
from services.agent.turn.states import State
from tests.support.conversation import Handset, Scene


def answer(heard: base.Heard) -> list[base.Piece]:
    match heard:
        case base.Digit("0"):
            return [base.Say("Goodbye now."), base.EndCall("key")]
        case base.Digit("9"):
            return [base.Say("A key. And a second sentence about it, so that there is more.")]
        case base.Digit() | base.Digits():
            return []
        case base.Words() | base.Silence():
            return [base.Say("I heard something. Let me say a little about that, slowly.")]


STEPS = st.one_of(
    st.tuples(st.just("wait"), st.floats(0.02, 2.5)),
    st.tuples(st.just("say"), st.floats(0.02, 1.6)),
    st.tuples(st.just("mumble"), st.floats(0.02, 1.6)),
    st.tuples(st.just("press"), st.sampled_from("0129#")),
    st.tuples(st.just("restart"), st.just(0.0)),
    st.tuples(st.just("stray"), st.integers(0, 5)),
)


def stray(number: int) -> ev.Event:
    return (
        ev.AudioCleared(),
        ev.CheckpointPlayed("1.1#1"),
        ev.Transcribed(base.Final("late words", is_understood=True, confidence=1.0)),
        ev.ReplyRead(1),
        ev.ReplyPiece(1, base.Say("Old.")),
        ev.SentenceAudio("1.1", b"\x01" * 100, -20.0, is_last=True),
    )[number]


@given(
    st.lists(STEPS, max_size=14),
    st.sampled_from([0.01, 0.4, 1.2]),
    st.sampled_from([0.02, 0.5]),
    st.booleans(),
)
def test_any_sequence_of_events_is_survived(
    steps: list[tuple[str, float | str | int]],
    transcription_s: float,
    synthesis_s: float,
    acknowledges: bool,
) -> None:
    scene = Scene(
        answer,
        transcription_s=transcription_s,
        synthesis_s=synthesis_s,
        handset=Handset(acknowledges=acknowledges),
    )
    scene.start()
    for kind, value in steps:
        match kind, value:
            case "wait", float():
                scene.run(value)
            case "say", float():
                scene.say("some words", value)
            case "mumble", float():
                scene.say("", value, is_understood=False)
            case "press", str():
                scene.event(ev.DigitPressed(value))
            case "restart", _:
                scene.handset.queue.clear()
                scene.start("another")
            case "stray", int():
                scene.event(stray(value))
    scene.run_until(lambda: scene.session.state in (State.LISTENING, State.ENDED), within_s=40.0)
    if scene.session.state is State.LISTENING:
        assert not scene.session.playout.has_unplayed
