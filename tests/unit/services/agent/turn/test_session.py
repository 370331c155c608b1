"""The session core, played in virtual time against a handset that queues as Vobiz does."""

from __future__ import annotations

import pytest

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.rules import TurnTaking
from services.agent.turn.sentences import split_sentences
from services.agent.turn.states import State
from shared.protocol.call import EndReason
from shared.protocol.telephony import ClearAudio
from tests.support.conversation import CHARS_PER_S, Handset, Scene

LONG = (
    "I am a voice agent and I can tell you about many things. "
    "Ask me about the weather in the mountains or about the trains by the sea. "
    "I can also take a number from you and keep it."
)


def echo(heard: base.Heard) -> list[base.Piece]:
    match heard:
        case base.Words():
            return [base.Say(f"You said {heard.text}.")]
        case base.Digit() | base.Digits():
            return []
        case base.Silence():
            return [base.Say("Are you there?")]


def talk(_: base.Heard) -> list[base.Piece]:
    return [base.Say(LONG)]


def test_greeting_is_ready_before_the_stream_and_plays_at_once() -> None:
    scene = Scene(echo)
    scene.run(0.1)
    scene.start()
    (measure,) = [
        action
        for _, action in scene.actions
        if isinstance(action, ev.Measure) and action.stage is ev.Stage.FIRST_AUDIO
    ]
    assert measure.seconds == 0
    assert scene.session.state is State.SPEAKING


def test_turn_goes_from_words_to_answer_and_back_to_listening() -> None:
    scene = Scene(echo)
    scene.start()
    scene.until_listening()
    scene.say("what time is it")
    scene.run(0.7)
    scene.until_listening()
    assert scene.history() == [
        ("agent", "Hello, this is Parley. How can I help?"),
        ("caller", "what time is it"),
        ("agent", "You said what time is it."),
    ]
    assert scene.handset.underruns == 0


def test_every_stage_of_a_turn_is_measured_and_sums_up() -> None:
    scene = Scene(echo)
    scene.start()
    scene.until_listening()
    scene.say("hello")
    scene.until_listening()
    stages = {
        action.stage: action.seconds
        for _, action in scene.actions
        if isinstance(action, ev.Measure)
    }
    parts = [stages[stage] for stage in ev.Stage if stage in stages and stage in _TURN_STAGES]
    assert len(parts) == len(_TURN_STAGES)
    assert sum(parts) == pytest.approx(stages[ev.Stage.TOTAL], abs=1e-6)


_TURN_STAGES = {
    ev.Stage.ENDPOINTING,
    ev.Stage.TRANSCRIPTION,
    ev.Stage.BRAIN,
    ev.Stage.SYNTHESIS,
    ev.Stage.PLATFORM,
}


def test_clear_audio_goes_out_the_moment_speech_is_confirmed() -> None:
    scene = Scene(talk)
    scene.start()
    scene.until_listening()
    scene.say("tell me")
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.run(1.0)
    before_s = scene.now_s
    scene.say("stop", 0.4)
    (cleared_s,) = scene.written(ClearAudio)
    assert cleared_s - before_s <= 0.06
    heard = len(scene.handset.heard)
    scene.run(0.5)
    assert len(scene.handset.heard) == heard


def test_history_holds_only_what_was_heard_before_the_interruption() -> None:
    scene = Scene(talk)
    scene.start()
    scene.until_listening()
    scene.say("tell me")
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.run(2.0)
    scene.say("wait a moment", 0.6)
    scene.run(0.8)
    role, text = scene.history()[2]
    assert role == "agent"
    assert LONG.startswith(text)
    assert len(text) == pytest.approx(2.0 * CHARS_PER_S, abs=12)
    assert scene.session.transcript[2]["is_interrupted"]
    assert ev.Tally.INTERRUPTION_COMMITTED in scene.tallies()


def test_cough_does_not_take_the_turn_and_the_agent_goes_on_without_a_gap_in_words() -> None:
    scene = Scene(talk)
    scene.start()
    scene.until_listening()
    scene.say("tell me")
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.run(1.5)
    asked = len(scene.asked)
    scene.run(0.2, probability=0.9, level_dbfs=-25.0)
    scene.until_listening()
    assert len(scene.asked) == asked
    assert scene.tallies().count(ev.Tally.INTERRUPTION_RESUMED) == 1
    assert scene.history()[-1] == ("agent", LONG)
    spoken = bytes(scene.handset.heard)
    for sentence_number in (3, 4, 5):
        sentence = split_sentences(LONG)[sentence_number - 3]
        count = spoken.count(bytes([sentence_number]) * 160) * 160
        assert count == pytest.approx(len(sentence) / CHARS_PER_S * 8000, abs=4200)


def test_long_speech_without_words_is_a_turn_of_its_own() -> None:
    scene = Scene(talk)
    scene.start()
    scene.until_listening()
    scene.say("tell me")
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.run(1.0)
    scene.say("", 1.5, is_understood=False)
    scene.run(0.8)
    assert isinstance(scene.asked[-1], base.Words)
    assert not scene.asked[-1].is_understood


def test_noise_in_the_callers_own_turn_is_passed_over() -> None:
    scene = Scene(echo)
    scene.start()
    scene.until_listening()
    scene.run(0.1, probability=0.9, level_dbfs=-30.0)
    scene.run(1.0)
    assert scene.asked == []
    assert scene.session.state is State.LISTENING


def test_audio_waits_for_cleared_audio_but_not_for_ever() -> None:
    scene = Scene(echo, handset=Handset(clear_delay_s=0.4))
    scene.start()
    scene.run(1.0)
    scene.say("no", 0.4)
    scene.run(0.3)
    scene.until_listening()
    assert scene.history()[-1] == ("agent", "You said no.")
    deaf = Scene(echo, handset=Handset(acknowledges=False))
    deaf.start()
    deaf.run(1.0)
    deaf.say("no", 0.4)
    deaf.until_listening()
    assert ev.Tally.CLEAR_TIMEOUT in deaf.tallies()
    assert deaf.history()[-1] == ("agent", "You said no.")


def test_caller_who_goes_on_before_the_answer_is_heard_out() -> None:
    scene = Scene(echo, transcription_s=0.3)
    scene.start()
    scene.until_listening()
    scene.say("I would like")
    scene.run(0.55)
    scene.say("to speak to somebody")
    scene.run(1.0)
    assert [heard.text for heard in scene.asked if isinstance(heard, base.Words)] == [
        "I would like to speak to somebody"
    ]


def test_silent_caller_is_asked_and_each_time_counted() -> None:
    scene = Scene(echo, rules=TurnTaking(silence_s=3.0))
    scene.start()
    scene.until_listening()
    scene.run(3.2)
    scene.until_listening()
    scene.run(3.2)
    counts = [heard.count for heard in scene.asked if isinstance(heard, base.Silence)]
    assert counts == [1, 2]


def test_goodbye_is_played_to_its_end_and_then_the_agent_hangs_up() -> None:
    bye: list[base.Piece] = [
        base.Say("Goodbye, and thank you for calling."),
        base.EndCall("goodbye"),
    ]
    scene = Scene(lambda _: bye)
    scene.start()
    scene.until_listening()
    scene.say("bye")
    scene.run_until(lambda: scene.session.state is State.CLOSING)
    scene.say("and another thing", 0.5)
    scene.run_until(lambda: scene.ended is not None)
    assert scene.ended == ev.End(EndReason.AGENT_HUNG_UP, by_agent=True)
    assert scene.history()[-1] == ("agent", "Goodbye, and thank you for calling.")
    assert not scene.written(ClearAudio)


def test_digit_over_the_agent_stops_it_and_reaches_the_dialogue() -> None:
    scene = Scene(echo)
    scene.start()
    scene.run(1.0)
    for digit in "42#":
        scene.event(ev.DigitPressed(digit))
        scene.run(0.06)
    scene.until_listening()
    assert scene.asked == [base.Digit("4"), base.Digit("2"), base.Digit("#")]
    assert len(scene.written(ClearAudio)) == 1


def test_words_that_come_after_a_keys_answer_began_replace_it() -> None:
    def answer(heard: base.Heard) -> list[base.Piece]:
        if isinstance(heard, base.Digit):
            return [base.Say("You pressed a key, and here is a long answer to that.")]
        return echo(heard)

    scene = Scene(answer, transcription_s=0.6)
    scene.start()
    scene.until_listening()
    scene.say("what time is it")
    scene.run(0.55)
    scene.event(ev.DigitPressed("1"))
    scene.run(0.3)
    assert scene.session.state is State.SPEAKING
    scene.until_listening()
    assert len(scene.written(ClearAudio)) == 1
    assert scene.history()[-2:] == [
        ("caller", "what time is it"),
        ("agent", "You said what time is it."),
    ]
    assert scene.session.transcript[-3]["is_interrupted"]


def test_noise_settled_after_a_keys_answer_began_leaves_the_answer_alone() -> None:
    def answer(heard: base.Heard) -> list[base.Piece]:
        return [base.Say("You pressed a key, and here is the answer.")]

    scene = Scene(answer, transcription_s=0.6)
    scene.start()
    scene.until_listening()
    scene.run(0.1, probability=0.9, level_dbfs=-30.0)
    scene.run(0.55)
    scene.event(ev.DigitPressed("1"))
    scene.until_listening()
    assert scene.history()[-1] == ("agent", "You pressed a key, and here is the answer.")


def test_words_that_come_during_the_goodbye_do_not_hold_it_up() -> None:
    bye: list[base.Piece] = [base.Say("Goodbye."), base.EndCall("goodbye")]
    scene = Scene(lambda _: bye, transcription_s=0.6)
    scene.start()
    scene.until_listening()
    scene.say("and then")
    scene.run(0.55)
    scene.event(ev.DigitPressed("9"))
    scene.run_until(lambda: scene.ended is not None)
    assert scene.ended == ev.End(EndReason.AGENT_HUNG_UP, by_agent=True)
    assert scene.asked == [base.Digit("9")]


def test_lost_socket_that_comes_back_goes_on_with_the_unheard_words() -> None:
    scene = Scene(talk)
    scene.start()
    scene.until_listening()
    scene.say("tell me")
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.run(1.0)
    scene.handset.queue.clear()
    scene.handset.replies.clear()
    scene.start("stream-2")
    scene.until_listening()
    greetings = [action for _, action in scene.actions if isinstance(action, ev.Greet)]
    assert len(greetings) == 1
    assert scene.history()[-1] == ("agent", LONG)
    assert bytes([4]) * 8000 in bytes(scene.handset.heard)


def test_checkpoints_that_never_come_do_not_hold_the_call() -> None:
    scene = Scene(echo, handset=Handset(acknowledges=False))
    scene.start()
    scene.until_listening()
    assert scene.history() == [("agent", "Hello, this is Parley. How can I help?")]


def test_stale_answers_are_never_spoken() -> None:
    scene = Scene(talk)
    scene.start()
    scene.until_listening()
    scene.say("tell me")
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.say("stop it", 0.5)
    scene.run(0.6)
    spoken = len(scene.times(ev.Speak))
    scene.event(ev.ReplyPiece(2, base.Say("I am old news.")))
    assert len(scene.times(ev.Speak)) == spoken


def test_lost_media_and_too_long_calls_end_by_themselves() -> None:
    scene = Scene(echo, rules=TurnTaking(max_call_s=5.0))
    scene.start()
    scene.run(5.2)
    assert scene.session.state is State.CLOSING
    scene.run_until(lambda: scene.ended is not None)
    assert scene.ended == ev.End(EndReason.TIME_LIMIT, by_agent=True)
    assert scene.history()[-1] == ("agent", TurnTaking().time_limit_text)
    scene = Scene(echo)
    scene.start()
    scene.run(1.0)
    actions = scene.session.on_tick(scene.now_s + 31.0)
    assert ev.End(EndReason.CARRIER_LOST, by_agent=False) in actions


def test_sentences_are_split_at_ends_and_long_ones_at_commas() -> None:
    assert split_sentences(" One. Two? Three! ") == ["One.", "Two?", "Three!"]
    long = ", ".join(["word after word after word"] * 20)
    parts = split_sentences(long)
    assert all(len(part) <= 240 for part in parts)
    assert " ".join(parts) == long
    assert split_sentences("") == []
