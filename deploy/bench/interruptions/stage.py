"""A call a case, in virtual time: the real ears and turn-taking, the simulator's line and handset.

What is real: mu-law both ways, the line's noise and echo, voice activity, the session core, the
playout clock, the cloud's queue. What stands in: the network (10 ms for an acknowledgement), the
recogniser (it hears exactly the words that were said, `RECOGNITION_S` after they were) and the
dialogue (one long answer, then short ones).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

import numpy as np

from deploy.bench.interruptions.cases import Case
from deploy.bench.interruptions.sounds import RATE_HZ, Pcm
from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.playout import Playout
from services.agent.turn.rules import TurnTaking
from services.agent.turn.session import Session
from services.agent.turn.vad import SpeechDetector
from services.simulator.line.line import Line, LineQuality
from services.simulator.person.caller import Caller, CallerScript, Utterance
from services.simulator.results import report
from shared.audio.g711 import decode_ulaw
from shared.audio.level import level_dbfs
from shared.protocol.call import StreamId
from shared.protocol.telephony import Checkpoint, ClearAudio, OutboundCommand, PlayAudio

TICK_S = 0.02
RECOGNITION_S = 0.2
"""From the end of a word until a streaming recogniser tells of it."""
ACK_S = 0.01
SPEECH = (
    "I am a voice agent, and I can tell you about many things. "
    "Ask me about the weather in the mountains, or about the trains by the sea. "
    "I can also take a number from you, and keep it for somebody who will call you back."
)
SHORT = "All right."
"""What it answers to whoever interrupts it."""
_LASTS_S = 20.0
_STREAM = StreamId("bench")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case.

    Attributes:
        silence_ms: from the onset of the caller's speech until nothing of the agent was heard;
            None where it was not silenced.
        was_stopped: whether the agent's audio was ever cleared.
        was_committed: whether what was not heard was given up.
        told: what the history says the caller heard of the long answer.
        heard_s: how much of it the handset played, what was said twice counted twice.
        whole_s: how long all of it is.
    """

    case: Case
    silence_ms: float | None
    was_stopped: bool
    was_committed: bool
    told: str
    heard_s: float
    whole_s: float


@dataclass(slots=True)
class _Show:
    """One call being played."""

    case: Case
    line: Line
    session: Session
    voices: dict[str, bytes]
    later: list[tuple[float, ev.Event]] = field(default_factory=list)
    utterance_from_s: float | None = None
    first_audio_s: float | None = None
    has_pressed: bool = False
    was_stopped: bool = False
    was_committed: bool = False
    heard_s: float | None = None
    told_partial: str = ""

    # --- 20 ms -------------------------------------------------------------------------------

    def listen(self, now_s: float) -> Pcm:
        """Let the line live through 20 ms; return what the caller's side brought."""
        step = self.line.step()
        for name in step.checkpoints:
            self.later.append((now_s + ACK_S, ev.CheckpointPlayed(name)))
        return decode_ulaw(step.said) if step.said is not None else np.zeros(160, np.int16)

    def take(self, pcm: Pcm, probability: float, now_s: float) -> None:
        """Give the session what it would get in these 20 ms."""
        for at_s, event in [item for item in self.later if item[0] <= now_s]:
            self.later.remove((at_s, event))
            self._do(self.session.on_event(event, now_s), now_s)
        self._do(self.session.on_event(ev.FrameScored(probability, level_dbfs(pcm)), now_s), now_s)
        self._press_and_recognise(now_s)
        self.play(now_s)
        self._do(self.session.on_tick(now_s), now_s)

    def play(self, now_s: float) -> None:
        due = self.session.due(now_s)
        for command in due.commands:
            self._write(command, now_s)
        if due.commands:
            if self.first_audio_s is None:
                self.first_audio_s = now_s
            self._do(self.session.on_audio_written(now_s), now_s)

    def _press_and_recognise(self, now_s: float) -> None:
        is_due = self.first_audio_s is not None and now_s >= self.first_audio_s + self.case.at_s
        if self.case.digit and is_due and not self.has_pressed:
            self.has_pressed = True
            self._do(self.session.on_event(ev.DigitPressed(self.case.digit), now_s), now_s)
        if self.utterance_from_s is None:
            return
        words = self._words_by(now_s - RECOGNITION_S)
        if words and words != self.told_partial:
            self.told_partial = words
            partial = base.Partial(words, is_settled=words == self.case.words)
            self._do(self.session.on_event(ev.TranscriptGrew(partial), now_s), now_s)

    def _words_by(self, now_s: float) -> str:
        """The words that were said to their end by then."""
        spans = self.line.said_spans
        if not spans or not self.case.words:
            return ""
        span, words = spans[0], self.case.words.split()
        fraction = (now_s * RATE_HZ - span.onset) / max(1, span.speech_end - span.onset)
        return " ".join(words[: max(0, int(fraction * len(words)))])

    # --- performing --------------------------------------------------------------------------

    def begin(self, now_s: float) -> None:
        self._do(self.session.begin(), now_s)
        self._do(self.session.on_event(ev.StreamStarted(_STREAM), now_s), now_s)

    def _do(self, actions: Sequence[ev.Action], now_s: float) -> None:
        for action in actions:
            match action:
                case ev.Write():
                    self._write(action.command, now_s)
                case ev.Greet():
                    self._reply(action.generation, SPEECH, now_s)
                case ev.Ask():
                    self._reply(action.generation, SHORT, now_s + 0.3)
                case ev.Speak():
                    audio = ev.SentenceAudio(
                        action.name, self.voices[action.text], -20.0, is_last=True
                    )
                    self.later.append((now_s, audio))
                case ev.BeginListening():
                    self.utterance_from_s = now_s
                case ev.EndListening():
                    self.utterance_from_s = None
                    words = self._words_by(now_s) if self.case.words else ""
                    final = base.Final(words, bool(words), 1.0 if words else 0.0)
                    self.later.append((now_s + RECOGNITION_S / 2, ev.Transcribed(final)))
                case ev.Count() if action.tally is ev.Tally.INTERRUPTION_COMMITTED:
                    self._note_commit(now_s)
                case _:
                    pass

    def _note_commit(self, now_s: float) -> None:
        if self.heard_s is None:
            self.was_committed = True
            self.heard_s = self._played_s()

    def _played_s(self) -> float:
        return sum(span.end - span.start for span in self.line.agent_spans) / RATE_HZ

    def _reply(self, generation: int, text: str, at_s: float) -> None:
        self.later.append((at_s, ev.ReplyPiece(generation, base.Say(text))))
        self.later.append((at_s, ev.ReplyRead(generation)))

    def _write(self, command: OutboundCommand, now_s: float) -> None:
        match command:
            case PlayAudio():
                self.line.playback.push(command.payload)
            case Checkpoint():
                if self.line.playback.checkpoint(command.name):
                    self.later.append((now_s + ACK_S, ev.CheckpointPlayed(command.name)))
            case ClearAudio():
                self.was_stopped = True
                self.line.clear()
                self.later.append((now_s + ACK_S, ev.AudioCleared()))
            case _:
                assert_never(command)  # type: ignore[arg-type] # nobody hangs up here

    # --- what came of it ---------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether the long answer is in the history, and nothing more of it will be heard."""
        is_told = any(message.role == "agent" for message in self.session.history)
        return is_told and not len(self.line.playback)

    def outcome(self, whole_s: float) -> Outcome:
        barge_ins = report.barge_ins(self.line.said_spans, self.line.agent_spans)
        told = next((m.text for m in self.session.history if m.role == "agent"), "")
        return Outcome(
            self.case,
            barge_ins[0].latency_ms if barge_ins and self.was_stopped else None,
            self.was_stopped,
            self.was_committed,
            told,
            self.heard_s if self.heard_s is not None else self._played_s(),
            whole_s,
        )


def play_cases(
    cases: Sequence[Case],
    activity: base.VoiceActivity,
    sentences: dict[str, bytes],
    rules: TurnTaking | None = None,
    *,
    seed: int = 1,
) -> list[Outcome]:
    """Play all cases at once.

    Args:
        cases: at most a few hundred; every 20 ms of all goes through the model in one batch.
        activity: the model.
        sentences: the agent's speech as mu-law, by sentence.
        rules: of turn-taking.
        seed: of the noise.
    """
    shows = [
        _open(case, sentences, rules or TurnTaking(), seed + n) for n, case in enumerate(cases)
    ]
    live = [(show, activity.open()) for show in shows]
    for show in shows:
        show.begin(0.0)
    for tick in range(1, int(_LASTS_S / TICK_S)):
        now_s = tick * TICK_S
        frames = np.stack([show.listen(now_s) for show, _ in live])
        scores = activity.score([state for _, state in live], frames)
        for (show, _), frame, score in zip(live, frames, scores, strict=True):
            show.take(frame, float(score), now_s)
        live = [one for one in live if not one[0].is_over]
        if not live:
            break
    whole_s = sum(len(sentences[text]) for text in sentences if text in SPEECH) / RATE_HZ
    return [show.outcome(whole_s) for show in shows]


def _open(case: Case, sentences: dict[str, bytes], rules: TurnTaking, seed: int) -> _Show:
    turns: tuple[Utterance, ...] = ()
    if len(case.sound):
        turns = (Utterance(case.sound, case.words or case.kind, barge_in_s=case.at_s),)
    script = CallerScript(turns=turns, hangup_at_s=_LASTS_S, max_duration_s=_LASTS_S)
    quality = LineQuality(noise_dbfs=case.noise_dbfs, echo_db=case.echo_db)
    line = Line(Caller(script), quality, np.random.default_rng(seed))
    line.is_answered = True
    session = Session(
        detector=SpeechDetector(), playout=Playout(lead_s=0.3), rules=rules, now_s=0.0
    )
    return _Show(case, line, session, sentences)
