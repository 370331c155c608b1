"""What an answer does besides speaking: keys, languages, transfers, the network's keypad."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.rules import FailureRules, TurnTaking
from services.agent.turn.states import State
from shared.protocol.call import EndReason, StreamId
from shared.protocol.telephony import ClearAudio, PlayAudio
from tests.support.conversation import Scene

TO = "+918000000002"
GATHER = base.GatherDigits("Your code, please.")


def doing(*pieces: base.Piece, **more: float) -> Scene:
    """A scene whose first answer does something, and whose later ones echo."""

    def script(heard: base.Heard) -> Sequence[base.Piece]:
        if heard == base.Words("go", is_understood=True):
            return pieces
        return [base.Say(f"I heard {getattr(heard, 'digits', '')}.")]

    scene = Scene(script, brain_s=more.get("brain_s", 0.0))
    scene.start()
    scene.until_listening()
    scene.say("go")
    return scene


def order(scene: Scene, *kinds: type[ev.Action]) -> list[type[ev.Action]]:
    return [type(action) for _, action in scene.actions if isinstance(action, kinds)]


def test_keys_are_sent_once_what_was_said_before_them_was_heard() -> None:
    scene = doing(base.Say("I press one."), base.SendDigits("1w2"), base.Say("And I wait."))
    scene.run_until(lambda: bool(scene.times(ev.SendKeys)))
    assert scene.session.state is State.SPEAKING
    assert bytes(scene.handset.heard).count(b"\x04" * 160) <= 2
    scene.until_listening()
    assert scene.history()[-1] == ("agent", "I press one. And I wait.")
    assert [a.digits for _, a in scene.actions if isinstance(a, ev.SendKeys)] == ["1w2"]


def test_a_language_changes_with_the_next_sentence() -> None:
    scene = doing(base.Say("Very well."), base.SwitchLanguage("hi-IN"), base.Say("Namaste."))
    scene.until_listening()
    kinds = order(scene, ev.Speak, ev.ChangeLanguage)
    assert kinds[2:] == [ev.Speak, ev.ChangeLanguage, ev.Speak]
    scene.say("tell me", 0.5)
    scene.run_until(lambda: scene.session.state is State.SPEAKING)


def test_a_transfer_waits_for_the_last_word_and_is_not_interrupted() -> None:
    scene = doing(base.Say("I connect you now."), base.Transfer(TO))
    scene.run_until(lambda: scene.session.state is State.CLOSING)
    scene.sound(0.4)
    scene.run_until(lambda: scene.session.state is State.AWAY)
    assert not scene.written(ClearAudio)
    assert [a.to for _, a in scene.actions if isinstance(a, ev.LeaveToTransfer)] == [TO]
    scene.sound(1.0)
    scene.event(ev.DigitPressed("1"))
    assert scene.session.state is State.AWAY
    scene.event(ev.CallOver(EndReason.TRANSFERRED))
    assert scene.ended == ev.End(EndReason.TRANSFERRED, by_agent=False)


def test_a_transfer_that_fails_gives_the_caller_back_with_words() -> None:
    scene = doing(base.Say("I connect you now."), base.Transfer(TO))
    scene.run_until(lambda: scene.session.state is State.AWAY)
    scene.run(5.0)
    scene.event(ev.TransferFailed())
    scene.until_listening()
    assert scene.history()[-1] == ("agent", FailureRules().transfer_failed)
    scene.say("what now")
    scene.until_listening()
    assert scene.history()[-1] == ("agent", "I heard .")


def test_the_network_collects_keys_and_the_dialogue_gets_them() -> None:
    scene = doing(base.Say("One moment."), GATHER)
    scene.run_until(lambda: scene.session.state is State.AWAY)
    (leave,) = [a for _, a in scene.actions if isinstance(a, ev.LeaveToGather)]
    assert leave.request is GATHER
    scene.handset.queue.clear()
    scene.run(3.0)
    scene.event(ev.StreamStarted(StreamId("stream-2")))
    scene.event(ev.DigitsGathered("1234"))
    scene.until_listening()
    assert base.Digits("1234") in scene.asked
    assert scene.history()[-1] == ("agent", "I heard 1234.")
    assert scene.session.playout.stream_id == "stream-2"


def test_an_answer_to_gathered_keys_waits_for_the_stream_to_come_back() -> None:
    scene = doing(GATHER)
    scene.run_until(lambda: scene.session.state is State.AWAY)
    scene.event(ev.DigitsGathered("7"))
    for at_s, event in scene._later:
        scene.session.on_event(event, at_s)
    generation = scene.session._floor.mouth.generation
    audio = ev.SentenceAudio(f"{generation}.1", b"\x01" * 8000, -20.0, is_last=True)
    scene.event(audio)
    assert not scene.session.due(scene.now_s + 1.0).commands
    assert scene.session.state is State.THINKING
    scene.event(ev.StreamStarted(None))
    due = scene.session.due(scene.now_s).commands
    assert any(isinstance(command, PlayAudio) for command in due)


def test_keys_that_never_come_are_no_keys_and_a_lost_caller_is_lost() -> None:
    scene = doing(GATHER)
    scene.run_until(lambda: scene.session.state is State.AWAY)
    scene.event(ev.StreamStarted(None))
    scene.run(91.0)
    assert base.Digits("") in scene.asked
    scene = doing(GATHER)
    scene.run_until(lambda: scene.session.state is State.AWAY)
    assert scene.session.on_tick(scene.now_s + 80.0) == []
    actions = scene.session.on_tick(scene.now_s + 91.0)
    assert ev.End(EndReason.CARRIER_LOST, by_agent=False) in actions


def test_a_time_limit_that_passes_while_the_network_has_the_caller_waits_for_neither() -> None:
    def script(heard: base.Heard) -> list[base.Piece]:
        return [GATHER] if isinstance(heard, base.Words) else []

    scene = Scene(script, rules=TurnTaking(max_call_s=6.0))
    scene.start()
    scene.until_listening()
    scene.say("go")
    scene.run_until(lambda: scene.session.state is State.AWAY)
    scene.run(4.0)
    scene.event(ev.DigitsGathered("1"))
    scene.run(0.1)
    assert scene.session.state is State.CLOSING


def test_notes_are_passed_on_whatever_became_of_the_answer() -> None:
    tool = base.ToolUsed("weather", {}, "ok", "sunny", 0.1)
    scene = doing(base.Say("Sunny."), tool)
    scene.until_listening()
    usage = base.Usage("llm", "openai", "output_tokens", 12)
    scene.event(ev.ReplyPiece(1, usage))
    assert [a.piece for _, a in scene.actions if isinstance(a, ev.Note)] == [tool, usage]


def test_an_interrupted_answer_does_none_of_what_was_to_follow() -> None:
    scene = doing(base.Say("I would now press a key for you."), base.SendDigits("1"))
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.run(0.5)
    scene.say("no do not", 0.5)
    scene.until_listening()
    assert not scene.times(ev.SendKeys)


# --- speech to speech ---------------------------------------------------------------------------

ULAW = b"\x10" * 800


def test_speech_of_the_brains_own_is_played_as_it_comes_and_cut_like_any() -> None:
    spoken = [base.Spoken("i1", "One two ", ULAW * 10), base.Spoken("i1", "three four.", b"", True)]
    scene = doing(*spoken)
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.until_listening()
    assert scene.history()[-1] == ("agent", "One two three four.")
    assert not scene.times(ev.Speak)[2:]
    (entry,) = [e for e in scene.session.transcript if "latency_ms" in e]
    assert entry["latency_ms"]["synthesis"] == 0


def test_speech_of_the_brains_own_is_cut_at_what_was_heard() -> None:
    text = "one two three four five six seven eight nine ten"
    scene = doing(base.Spoken("i1", text, ULAW * 40, is_last=True))
    scene.run_until(lambda: scene.session.state is State.SPEAKING)
    scene.run(2.0)
    scene.say("stop", 0.5, partials=[(0.2, base.Partial("stop"))])
    message = scene.session.history[-1]
    assert message.text == "one two three four five"
    assert message.heard_s == pytest.approx(2.0, abs=0.1)


def test_pieces_of_an_utterance_that_is_over_are_old() -> None:
    scene = doing(base.Spoken("i1", "Hello.", ULAW, is_last=True), brain_s=0.1)
    scene.until_listening()
    scene.event(ev.ReplyPiece(2, base.Spoken("i1", "More.", ULAW)))
    assert scene.session.state is State.LISTENING
    assert not scene.session.playout.has_unplayed
