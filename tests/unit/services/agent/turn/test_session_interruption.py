"""Who speaks over the agent: what stops it, what lets it go on, and what is remembered."""

from __future__ import annotations

import pytest

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.rules import BargeInRules, TurnTaking
from services.agent.turn.states import State
from shared.protocol.call import EndReason
from shared.protocol.telephony import ClearAudio
from tests.support.conversation import Handset, Scene

LONG = (
    "I am a voice agent and I can tell you about many things. "
    "Ask me about the weather in the mountains or about the trains by the sea. "
    "I can also take a number from you and keep it."
)
LEGAL = "This call is recorded for training."


def talk(heard: base.Heard) -> list[base.Piece]:
    if isinstance(heard, base.Words) and heard.text == "tell me":
        return [base.Say(LONG)]
    return [base.Say("As you wish.")]


def speaking(scene: Scene, for_s: float = 1.0) -> Scene:
    """A scene in which the agent speaks a long answer."""
    scene.start()
    scene.until_listening()
    scene.say("tell me")
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.run(for_s)
    return scene


def heard_words(scene: Scene) -> list[str]:
    return [heard.text for heard in scene.asked if isinstance(heard, base.Words)]


def test_the_first_frame_of_speech_silences_the_agent_in_the_same_step() -> None:
    scene = speaking(Scene(talk))
    scene.sound(0.02)
    assert scene.written(ClearAudio) == [scene.now_s]
    assert scene.session.state is State.PAUSED
    kinds = [type(action) for at_s, action in scene.actions if at_s == scene.now_s]
    assert kinds.index(ev.Write) < kinds.index(ev.BeginListening)


def test_a_partial_word_commits_the_interruption_while_the_caller_still_speaks() -> None:
    scene = speaking(Scene(talk), 2.0)
    scene.say("stop please", 0.5, partials=[(0.3, base.Partial("stop"))])
    assert scene.session.state is State.HEARING
    assert ev.Tally.INTERRUPTION_COMMITTED in scene.tallies()
    role, text = scene.history()[-1]
    assert role == "agent"
    assert LONG.startswith(text)
    message = scene.session.history[-1]
    assert message.is_interrupted
    assert message.heard_s == pytest.approx(2.0, abs=0.1)
    scene.until_listening()
    assert heard_words(scene) == ["tell me", "stop please"]


def test_long_speech_commits_while_it_goes_on_even_without_words() -> None:
    scene = speaking(Scene(talk))
    states = []
    for _ in range(10):
        scene.sound(0.1)
        states.append(scene.session.state)
    assert states[7] is State.PAUSED
    assert states[9] is State.HEARING


@pytest.mark.parametrize("murmur", ["mm-hm", "Okay.", "yeah yeah", "uh huh, right"])
def test_a_backchannel_lets_the_agent_go_on_from_the_first_unheard_word(murmur: str) -> None:
    scene = speaking(Scene(talk))
    asked = len(scene.asked)
    scene.say(murmur, 0.5, partials=[(0.3, base.Partial(murmur))])
    scene.until_listening()
    assert len(scene.asked) == asked
    assert scene.history()[-1] == ("agent", LONG)
    assert scene.tallies().count(ev.Tally.INTERRUPTION_RESUMED) == 1


def test_a_backchannel_may_be_longer_than_speech_without_words() -> None:
    scene = speaking(Scene(talk))
    scene.say("yeah okay yeah", 1.2, partials=[(0.4, base.Partial("yeah"))])
    scene.until_listening()
    assert scene.history()[-1] == ("agent", LONG)


def test_the_agents_own_list_of_backchannels_takes_the_languages_place() -> None:
    rules = TurnTaking(barge_in=BargeInRules(backchannels=frozenset({"roger"})))
    scene = speaking(Scene(talk, rules=rules))
    scene.say("Roger!", 0.5)
    scene.run(0.7)
    assert ev.Tally.INTERRUPTION_RESUMED in scene.tallies()
    scene.say("okay", 0.5)
    scene.until_listening()
    assert heard_words(scene)[-1] == "okay"


def test_too_few_words_are_passed_over_when_more_are_asked_for() -> None:
    rules = TurnTaking(barge_in=BargeInRules(min_words=2))
    scene = speaking(Scene(talk, rules=rules))
    scene.say("stop", 0.4)
    scene.run(0.8)
    assert ev.Tally.INTERRUPTION_RESUMED in scene.tallies()
    scene.say("stop that", 0.4)
    scene.until_listening()
    assert heard_words(scene)[-1] == "stop that"


@pytest.mark.parametrize(
    ("text", "wait_s", "piece_s", "is_answer"),
    [
        ("Shall I book the room for you?", 1.7, 0.0, True),
        # All of it is made, but the brain has not said yet that this is all.
        ("Shall I book the room for you?", 1.75, 5.0, True),
        ("Shall I book the room for you?", 1.0, 5.0, False),
        ("I shall book the room for you.", 1.7, 0.0, True),
        ("I shall book the room for you.", 1.75, 5.0, False),
        ("I shall book the room for you.", 1.0, 0.0, False),
    ],
)
def test_a_murmur_at_the_end_of_what_is_said_is_its_answer(
    text: str, wait_s: float, piece_s: float, is_answer: bool
) -> None:
    def ask(_: base.Heard) -> list[base.Piece]:
        return [base.Say(text if len(scene.asked) == 1 else "Done.")]

    scene = Scene(ask, piece_s=piece_s)
    scene.start()
    scene.run(5.0)
    scene.until_listening()
    scene.say("a room")
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.run(wait_s)
    scene.say("mm-hm", 0.3)
    scene.until_listening()
    assert heard_words(scene) == ["a room", "mm-hm"][: 1 + is_answer]
    assert (ev.Tally.INTERRUPTION_RESUMED in scene.tallies()) is not is_answer


def test_speech_in_the_very_tail_lets_the_agent_end_as_heard() -> None:
    scene = Scene(talk)
    scene.start()
    scene.run_until(lambda: (scene.session.playout.remaining_s(scene.now_s) or 9) <= 0.2)
    scene.say("tell me", 0.6)
    assert not scene.written(ClearAudio)
    assert scene.session.state is State.HEARING
    assert scene.history() == [("agent", "Hello, this is Parley. How can I help?")]
    assert not scene.session.history[0].is_interrupted
    scene.until_listening()
    assert heard_words(scene) == ["tell me"]


def test_no_verdict_within_its_wait_lets_the_agent_go_on() -> None:
    scene = speaking(Scene(talk, transcription_s=2.5))
    before_s = scene.now_s
    scene.cough()
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    assert scene.now_s - before_s == pytest.approx(0.2 + 1.0, abs=0.1)


def test_words_that_come_after_the_agent_went_on_interrupt_it_then() -> None:
    scene = speaking(Scene(talk, transcription_s=1.2))
    scene.say("stop", 0.3)
    scene.run(2.0)
    assert heard_words(scene) == ["tell me", "stop"]
    assert len(scene.written(ClearAudio)) == 2
    assert scene.session.history[-2 - (scene.history()[-1][0] == "agent")].is_interrupted


def test_the_answer_waits_while_the_caller_goes_on_and_both_parts_are_one_turn() -> None:
    scene = Scene(talk, brain_s=2.0)
    scene.start()
    scene.until_listening()
    scene.say("I want to know")
    scene.run(0.8)
    assert heard_words(scene) == ["I want to know"]
    assert scene.session.state is State.THINKING
    scene.say("what it costs", 1.0)
    scene.until_listening()
    assert heard_words(scene) == ["I want to know", "I want to know what it costs"]
    assert scene.history()[1:] == [
        ("caller", "I want to know what it costs"),
        ("agent", "As you wish."),
    ]
    abandoned = [a for _, a in scene.actions if isinstance(a, ev.Abandon)]
    assert abandoned == [ev.Abandon(2, rewinds=True)]
    assert ev.Tally.INTERRUPTION_COMMITTED not in scene.tallies()


def test_a_cough_while_the_agent_thinks_does_not_lose_the_answer() -> None:
    scene = Scene(talk, brain_s=0.6)
    scene.start()
    scene.until_listening()
    scene.say("hello")
    scene.run(0.6)
    scene.cough(0.1)
    scene.until_listening()
    assert heard_words(scene) == ["hello"]
    assert scene.history()[-1] == ("agent", "As you wish.")


@pytest.mark.parametrize("how", ["piece", "rules", "off"])
def test_what_nothing_may_interrupt_is_spoken_to_its_end_and_the_caller_answered_then(
    how: str,
) -> None:
    def legal(heard: base.Heard) -> list[base.Piece]:
        if isinstance(heard, base.Words) and heard.text == "begin":
            return [base.Say(LEGAL, is_interruptible=how != "piece")]
        return [base.Say("Fine.")]

    rules = TurnTaking(
        uninterruptible=(LEGAL,) if how == "rules" else (),
        barge_in=BargeInRules(is_enabled=how != "off"),
    )
    scene = Scene(legal, rules=rules)
    scene.start()
    scene.until_listening()
    scene.say("begin")
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.run(0.3)
    scene.say("wait a moment", 0.6)
    scene.event(ev.DigitPressed("5"))
    scene.until_listening()
    assert not scene.written(ClearAudio)
    assert ("agent", LEGAL) in scene.history()
    assert base.Digit("5") in scene.asked
    assert ("caller", "wait a moment") in scene.history()


def test_only_the_passage_is_protected_not_what_follows_it() -> None:
    def legal(heard: base.Heard) -> list[base.Piece]:
        return [base.Say(f"{LEGAL} {LONG}")]

    scene = Scene(legal, rules=TurnTaking(uninterruptible=(LEGAL,)))
    scene.start()
    scene.until_listening()
    scene.say("begin")
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.run(2.0)
    scene.say("stop", 0.86)
    assert scene.session.state is State.PAUSED
    (cleared_s,) = scene.written(ClearAudio)
    scene.run(1.0)
    assert scene.session.history[2].text.startswith(LEGAL)
    assert cleared_s > scene.now_s - 2.0


def test_a_noisy_line_must_bring_more_after_two_false_pauses_but_not_for_ever() -> None:
    scene = speaking(Scene(lambda _: [base.Say(LONG + " " + LONG + " " + LONG + " " + LONG)]), 0.5)
    for _ in range(2):
        scene.cough(0.04)
        scene.run_until(lambda: scene.session.state is State.SPEAKING)
        scene.run(0.3)
    assert len(scene.written(ClearAudio)) == 2
    scene.cough(0.04)
    scene.run(0.8)
    assert len(scene.written(ClearAudio)) == 2
    scene.cough(0.1)
    assert len(scene.written(ClearAudio)) == 3
    scene.run(12.0)
    scene.cough(0.02)
    assert len(scene.written(ClearAudio)) == 4


def test_a_key_stops_the_agent_at_once_and_voids_the_noise_of_pressing_it() -> None:
    scene = speaking(Scene(talk))
    scene.sound(0.1)
    scene.event(ev.DigitPressed("7"))
    scene.say("beep", 0.3)
    scene.until_listening()
    scene.run(1.0)
    assert scene.asked[-1] == base.Digit("7")
    assert scene.session.state is State.LISTENING


def test_history_is_right_wherever_the_caller_breaks_in() -> None:
    for step in range(1, 40):
        scene = speaking(Scene(talk, handset=Handset(clear_delay_s=0.05)), 0.2 * step)
        if scene.session.state is not State.SPEAKING:
            break
        scene.say("stop it now", 0.5, partials=[(0.2, base.Partial("stop"))])
        spoken = [message for message in scene.session.history if message.role == "agent"][1:]
        if not spoken:
            continue
        (message,) = spoken
        assert LONG.startswith(message.text)
        assert message.heard_s is not None
        assert len(message.text) == pytest.approx(message.heard_s * 15.0, abs=12)
        assert message.heard_s == pytest.approx(0.2 * step, abs=0.1)


def test_a_second_utterance_before_the_verdict_keeps_the_agent_silent() -> None:
    scene = speaking(Scene(talk, transcription_s=0.3))
    scene.say("mm", 0.3)
    scene.run(0.4)
    scene.say("stop this", 0.4)
    assert scene.session.state is State.PAUSED
    scene.until_listening()
    assert heard_words(scene)[-1] == "stop this"
    assert len(scene.written(ClearAudio)) == 1


def test_words_nobody_asked_for_count_while_the_caller_speaks() -> None:
    scene = Scene(talk)
    scene.event(ev.Transcribed(base.Final("early", is_understood=True, confidence=1.0)))
    scene.start()
    scene.until_listening()
    scene.sound(0.3)
    scene.event(ev.Transcribed(base.Final("first part", is_understood=True, confidence=1.0)))
    scene.say("second part", 0.3)
    scene.until_listening()
    assert heard_words(scene) == ["first part second part"]


@pytest.mark.parametrize(
    ("text", "asked"), [("okay", ["tell me"]), ("and now", ["tell me", "and now"])]
)
def test_a_late_murmur_after_the_agent_has_ended_is_passed_over_and_late_words_are_not(
    text: str, asked: list[str]
) -> None:
    scene = speaking(Scene(talk, transcription_s=2.2))
    scene.run_until(lambda: (scene.session.playout.remaining_s(scene.now_s) or 9) <= 0.6)
    scene.say(text, 0.1)
    scene.until_listening()
    assert heard_words(scene) == ["tell me"]
    scene.run(3.0)
    scene.until_listening()
    assert heard_words(scene) == asked


def test_a_goodbye_that_was_not_heard_yet_gives_way_to_a_caller_who_goes_on() -> None:
    def bye(_: base.Heard) -> list[base.Piece]:
        return [base.Say("Goodbye."), base.EndCall("done")]

    scene = Scene(bye, synthesis_s=1.0)
    scene.start()
    scene.run(2.0)
    scene.until_listening()
    scene.say("thank you")
    scene.run(0.8)
    assert scene.session.state is State.THINKING
    scene.say("and one more thing", 1.0)
    scene.run_until(lambda: scene.ended is not None)
    assert heard_words(scene) == ["thank you", "thank you and one more thing"]
    assert scene.session.end_reason is EndReason.AGENT_HUNG_UP


def test_pieces_of_the_answer_that_was_interrupted_are_not_measured_as_the_next_ones() -> None:
    def two(_: base.Heard) -> list[base.Piece]:
        return [base.Say(LONG), base.Say("And more.")]

    scene = speaking(Scene(two, brain_s=0.5, piece_s=1.2, transcription_s=0.4), 0.5)
    scene.say("stop that", 0.3)
    scene.until_listening()
    latencies = [entry["latency_ms"] for entry in scene.session.transcript if "latency_ms" in entry]
    assert latencies[-1]["brain"] == pytest.approx(500, abs=30)


def test_words_that_grow_after_the_end_of_speech_commit_and_are_waited_for() -> None:
    scene = speaking(Scene(talk, transcription_s=2.0))
    scene.say("stop it", 0.4, partials=[(1.0, base.Partial("stop"))])
    scene.run(0.7)
    assert scene.session.state is State.THINKING
    assert ev.Tally.INTERRUPTION_COMMITTED in scene.tallies()
    scene.until_listening()
    assert heard_words(scene) == ["tell me", "stop it"]
    assert len(scene.written(ClearAudio)) == 1


def test_a_late_murmur_does_not_stop_the_agent_again() -> None:
    scene = speaking(Scene(talk, transcription_s=1.2))
    scene.say("okay", 0.3)
    scene.until_listening()
    assert heard_words(scene) == ["tell me"]
    assert len(scene.written(ClearAudio)) == 1


def test_words_over_a_passage_are_answered_at_the_end_even_if_they_are_settled_late() -> None:
    scene = Scene(
        lambda heard: [base.Say(f"{LEGAL} {LONG}" if len(scene.asked) == 1 else "Fine.")],
        rules=TurnTaking(uninterruptible=(LEGAL,)),
        transcription_s=2.0,
    )
    scene.start()
    scene.until_listening()
    scene.say("begin")
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.run(0.4)
    scene.say("wait a moment", 0.6)
    scene.until_listening()
    assert not scene.written(ClearAudio)
    assert scene.history()[-3:] == [
        ("agent", f"{LEGAL} {LONG}"),
        ("caller", "wait a moment"),
        ("agent", "Fine."),
    ]


def test_a_cough_does_not_interrupt_because_older_words_wait() -> None:
    scene = Scene(
        lambda heard: [base.Say(f"{LEGAL} {LONG}" if len(scene.asked) == 1 else "Fine.")],
        rules=TurnTaking(uninterruptible=(LEGAL,)),
    )
    scene.start()
    scene.until_listening()
    scene.say("begin")
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.run(0.4)
    scene.say("wait a moment", 0.6)
    scene.run(2.5)
    scene.cough()
    scene.until_listening()
    assert scene.tallies().count(ev.Tally.INTERRUPTION_RESUMED) == 1
    assert heard_words(scene) == ["begin", "wait a moment"]


def test_stray_words_while_the_agent_stands_still_interrupt_it() -> None:
    scene = speaking(Scene(talk))
    scene.sound(0.1)
    scene.event(ev.Transcribed(base.Final("stop", is_understood=True, confidence=1.0)))
    scene.say("it", 0.3)
    scene.until_listening()
    assert heard_words(scene) == ["tell me", "stop it"]


def test_the_agent_goes_on_sooner_after_a_murmur_than_a_turn_would_end() -> None:
    scene = speaking(Scene(talk))
    scene.say("mm-hm", 0.5, partials=[(0.3, base.Partial("mm-hm"))])
    ended_s = scene.now_s
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    assert scene.now_s - ended_s == pytest.approx(0.33, abs=0.03)


def test_what_tools_have_done_is_not_done_again_for_a_caller_who_goes_on() -> None:
    scene = Scene(talk, brain_s=2.0)
    scene.start()
    scene.run(2.0)
    scene.until_listening()
    scene.say("book it")
    scene.run(0.8)
    used = base.ToolUsed("book", {}, "ok", "booked", 0.3)
    scene.event(ev.ReplyPiece(2, used))
    scene.say("hello are you there", 0.8)
    scene.until_listening()
    assert heard_words(scene) == ["book it", "hello are you there"]
    assert [m.text for m in scene.session.history if m.role == "caller"] == heard_words(scene)
    assert ev.Abandon(2, rewinds=False) in [action for _, action in scene.actions]
