"""Whatever happens in whatever order, a session makes only moves of its table and comes to rest."""

from __future__ import annotations

from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.rules import (
    BargeInRules,
    FailureRules,
    FillerRules,
    MachineRules,
    OnFailure,
    OnMachine,
    TurnTaking,
)
from services.agent.turn.states import State
from shared.protocol.call import Direction
from tests.support.conversation import Handset, Scene

GATHER = base.GatherDigits("Your code?")
TO = "+918000000003"


def answer(heard: base.Heard) -> list[base.Piece | None]:
    match heard:
        case base.Digit("0"):
            return [base.Say("Goodbye now."), base.EndCall("key")]
        case base.Digit("1"):
            return [base.Say("I connect you."), base.Transfer(TO)]
        case base.Digit("2"):
            return [base.Say("The network asks."), GATHER]
        case base.Digit("3"):
            return [base.Say("It will"), None]
        case base.Digit("4"):
            return [
                base.Say("A key."),
                base.SendDigits("1"),
                base.SwitchLanguage("hi"),
                base.Expect(base.Expectation(digits=True, silence_s=2.0)),
                base.Say("This is a legal text, to be heard whole.", is_interruptible=False),
            ]
        case base.Digit("5"):
            return [
                base.Spoken("i", "One two ", bytes([201]) * 8000),
                base.Spoken("i", "three.", bytes([201]) * 8000, is_last=True),
            ]
        case base.Digit("9"):
            return [base.Say("A key. And a second sentence about it, so that there is more.")]
        case base.Digit() | base.Digits():
            return []
        case base.Words() | base.Silence():
            return [base.Say("I heard something. Let me say a little about that, slowly.")]


WORDS = ("some words", "okay", "stop", "my number is", "Is it late?", "leave a message")
STEPS = st.one_of(
    st.tuples(st.just("wait"), st.floats(0.02, 2.5)),
    st.tuples(st.just("say"), st.floats(0.02, 1.6), st.sampled_from(WORDS), st.floats(-0.5, 0.9)),
    st.tuples(st.just("mumble"), st.floats(0.02, 1.6)),
    st.tuples(st.just("press"), st.sampled_from("0123459#")),
    st.tuples(st.just("restart"), st.just(0.0)),
    st.tuples(st.just("stray"), st.integers(0, 14)),
)
RULES = st.builds(
    TurnTaking,
    barge_in=st.builds(BargeInRules, is_enabled=st.booleans(), min_words=st.integers(1, 3)),
    filler=st.sampled_from([FillerRules(), FillerRules(texts=("One moment.",), after_s=0.5)]),
    failure=st.sampled_from(
        [
            FailureRules(),
            FailureRules(apology=""),
            FailureRules(then=OnFailure.TRANSFER, transfer_to=TO),
        ]
    ),
    machine=st.builds(MachineRules, then=st.sampled_from(OnMachine), message=st.just("Call us.")),
    max_call_s=st.sampled_from([6.0, 3600.0]),
)


def stray(number: int, generation: int) -> ev.Event:
    return (
        ev.AudioCleared(),
        ev.CheckpointPlayed("1.1#1"),
        ev.Transcribed(base.Final("late words", is_understood=True, confidence=1.0)),
        ev.ReplyRead(1),
        ev.ReplyPiece(1, base.Say("Old.")),
        ev.SentenceAudio("1.1", bytes([202]) * 100, -20.0, is_last=True),
        ev.TranscriptGrew(base.Partial("grown", is_settled=True, is_end=True)),
        ev.TurnScored(1, 0.99),
        ev.DigitsGathered("12"),
        ev.MachineJudged(is_machine=True),
        ev.MachineJudged(is_machine=False),
        ev.TransferFailed(),
        ev.ReplyFailed(generation),
        ev.SentenceFailed(f"{generation}.1"),
        ev.ReplyPiece(generation, base.ToolUsed("t", {}, "ok", "", 0.1)),
    )[number]


@settings(max_examples=60, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    st.lists(STEPS, max_size=14),
    RULES,
    st.sampled_from([(0.01, 0.02, 0.0), (0.4, 0.5, 0.3), (1.2, 0.02, 1.4), (3.5, 0.3, 0.0)]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(Direction),
)
def test_any_sequence_of_events_is_survived(
    steps: list[tuple[Any, ...]],
    rules: TurnTaking,
    delays_s: tuple[float, float, float],
    acknowledges: bool,
    prepared: bool,
    direction: Direction,
) -> None:
    transcription_s, synthesis_s, brain_s = delays_s
    scene = Scene(
        answer,
        rules=rules,
        transcription_s=transcription_s,
        synthesis_s=synthesis_s,
        brain_s=brain_s,
        prepared=prepared,
        direction=direction,
        handset=Handset(acknowledges=acknowledges),
    )
    scene.start()
    for step in steps:
        play(scene, step)
        check_history(scene)
    scene.run_until(lambda: is_at_rest(scene), within_s=500.0)
    check_history(scene)
    if scene.session.state is State.LISTENING:
        assert not scene.session.playout.has_unplayed
    assert len(scene.times(ev.BeginListening)) - len(scene.times(ev.EndListening)) in (0, 1)


def play(scene: Scene, step: tuple[Any, ...]) -> None:
    match step:
        case "wait", float(seconds):
            scene.run(seconds)
        case "say", float(seconds), str(text), float(early_s):
            partial = base.Partial(text, is_settled=early_s > 0)
            scene.say(text, seconds, partials=[(max(0.0, seconds - early_s), partial)])
        case "mumble", float(seconds):
            scene.say("", seconds, is_understood=False)
        case "press", str(key):
            scene.event(ev.DigitPressed(key))
        case "restart", _:
            scene.handset.queue.clear()
            scene.start("another")
        case "stray", int(number):
            asked = [a for _, a in scene.actions if isinstance(a, ev.Ask | ev.Greet)]
            scene.event(stray(number, asked[-1].generation))


def is_at_rest(scene: Scene) -> bool:
    """The caller has the floor, or the call is over; with the network nothing lasts for ever."""
    return scene.session.state in (State.LISTENING, State.ENDED)


def check_history(scene: Scene) -> None:
    """What the agent is said to have said is, sentence by sentence, what was put into words."""
    spoken = {
        sentence
        for _, action in scene.actions
        if isinstance(action, ev.Speak | ev.SpeakPrepared)
        for sentence in [action.text]
    } | {"One two three.", ""}
    for message in scene.session.history:
        if message.role != "agent":
            continue
        rest = message.text
        while rest:
            whole = max((s for s in spoken if s and rest.startswith(s)), key=len, default="")
            if not whole:
                # The last sentence, cut after a word; or one that broke off before an apology.
                assert any(s.startswith(rest.split(" I am sorry")[0]) for s in spoken), message
                break
            rest = rest[len(whole) :].lstrip()
        assert message.heard_s is not None
        assert message.heard_s > 0
    assert len(scene.session._ear._owed) <= 40
