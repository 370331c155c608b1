"""A call in virtual time: the session core, a handset as Vobiz's queue is one, and a script."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.playout import Playout
from services.agent.turn.rules import TurnTaking
from services.agent.turn.session import Session
from services.agent.turn.snapshot import Snapshot, read_snapshot, write_snapshot
from services.agent.turn.states import State
from services.agent.turn.vad import SpeechDetector
from shared.protocol.call import Direction, StreamId
from shared.protocol.telephony import (
    Checkpoint,
    ClearAudio,
    OutboundCommand,
    PlayAudio,
    StopStream,
)

TICK_S = 0.02
WALL_S = 1_800_000_000.0
CHARS_PER_S = 15.0
Script = Callable[[base.Heard], Sequence[base.Piece | None]]
"""The brain's pieces; None: it breaks off there."""


@dataclass
class Handset:
    """Vobiz's playback queue: consumes 20 ms a tick, answers checkpoints and clears."""

    clear_delay_s: float = 0.01
    acknowledges: bool = True
    queue: deque[PlayAudio | Checkpoint] = field(default_factory=deque)
    heard: bytearray = field(default_factory=bytearray)
    replies: list[tuple[float, ev.Event]] = field(default_factory=list)
    silent_ticks: int = 0
    underruns: int = 0

    def take(self, command: OutboundCommand, now_s: float) -> None:
        match command:
            case PlayAudio() | Checkpoint():
                self.queue.append(command)
            case ClearAudio():
                self.queue.clear()
                if self.acknowledges:
                    self.replies.append((now_s + self.clear_delay_s, ev.AudioCleared()))
            case StopStream():
                self.queue.clear()

    def tick(self, now_s: float) -> list[ev.Event]:
        if self.queue and isinstance(audio := self.queue[0], PlayAudio):
            self.queue.popleft()
            self.heard += audio.payload
        while self.queue and isinstance(checkpoint := self.queue[0], Checkpoint):
            self.queue.popleft()
            if self.acknowledges:
                self.replies.append((now_s, ev.CheckpointPlayed(checkpoint.name)))
        due = [event for at_s, event in self.replies if at_s <= now_s]
        self.replies = [(at_s, event) for at_s, event in self.replies if at_s > now_s]
        return due


class Scene:
    """One call. Time moves by `run`; the caller speaks by `say`.

    `script` gives the brain's pieces for what was heard: the first `brain_s` after it was asked,
    each `piece_s` after the one before. Sentences become audio whose bytes are their number,
    `synthesis_s` after they were asked for. What the brain was asked for certain is in `asked`, on
    a likely end in `guessed`. `prepared` False: no audio was made in advance.
    """

    def __init__(
        self,
        script: Script,
        *,
        greeting: Sequence[base.Piece | None] = (
            base.Say("Hello, this is Parley. How can I help?"),
        ),
        rules: TurnTaking | None = None,
        synthesis_s: float = 0.02,
        transcription_s: float = 0.01,
        brain_s: float = 0.0,
        piece_s: float = 0.0,
        prepared: bool = True,
        direction: Direction = Direction.INBOUND,
        lead_s: float = 0.3,
        handset: Handset | None = None,
        kept: Snapshot | None = None,
        away_s: float = 0.0,
        amid: str | None = None,
    ) -> None:
        self.now_s = 100.0
        self.script = script
        self.greeting = greeting
        self.synthesis_s = synthesis_s
        self.transcription_s = transcription_s
        self.brain_s = brain_s
        self.piece_s = piece_s
        self.prepared = prepared
        self.handset = handset or Handset()
        self.session = Session(
            detector=SpeechDetector(),
            playout=Playout(lead_s=lead_s),
            rules=rules or TurnTaking(),
            now_s=self.now_s,
            direction=direction,
        )
        self.actions: list[tuple[float, ev.Action]] = []
        self.asked: list[base.Heard] = []
        self.guessed: list[ev.Ask] = []
        self.said_by: dict[int, int] = {}
        self.dropped: set[int] = set()
        self.ended: ev.End | None = None
        self._later: list[tuple[float, ev.Event]] = []
        self._words: deque[base.Final] = deque()
        self._spoken = 0
        if amid is not None:
            self._do(self.session.begin_amid(amid, self.now_s))
        elif kept is None:
            self._do(self.session.begin())
        else:
            self._do(self.session.restore(kept, self.now_s, WALL_S + away_s))

    # --- moving time -------------------------------------------------------------------------

    def start(self, stream_id: str = "stream-1") -> None:
        self.event(ev.StreamStarted(StreamId(stream_id)))
        self.play()

    def run(self, seconds: float, *, probability: float = 0.01, level_dbfs: float = -65.0) -> None:
        for _ in range(round(seconds / TICK_S)):
            self.now_s += TICK_S
            for at_s, event in [item for item in self._later if item[0] <= self.now_s]:
                self._later.remove((at_s, event))
                self.event(event)
            for event in self.handset.tick(self.now_s):
                self.event(event)
            self.event(ev.FrameScored(probability, level_dbfs))
            self.play()
            self._do(self.session.on_tick(self.now_s))

    def say(
        self,
        text: str,
        seconds: float = 0.8,
        *,
        is_understood: bool = True,
        partials: Sequence[tuple[float, base.Partial]] = (),
    ) -> None:
        """Speak for a while; the words come once the session asks for them.

        `partials` come so long after the beginning of this speech, also after its end.
        """
        self._words.append(base.Final(text, is_understood, 1.0))
        for at_s, partial in partials:
            self.later(at_s, ev.TranscriptGrew(partial))
        self.sound(seconds)

    def sound(self, seconds: float, level_dbfs: float = -20.0) -> None:
        """Make a sound that is like speech; its words are whatever the next `say` has."""
        self.run(seconds, probability=0.95, level_dbfs=level_dbfs)

    def cough(self, seconds: float = 0.2) -> None:
        """Make a sound without words."""
        self.say("", seconds, is_understood=False)

    def later(self, after_s: float, event: ev.Event) -> None:
        """Have something happen by itself."""
        self._later.append((self.now_s + after_s, event))

    def run_until(self, condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
        deadline_s = self.now_s + within_s
        while not condition():
            assert self.now_s < deadline_s, f"still {self.session.state} after {within_s} s"
            self.run(TICK_S)

    def until_listening(self) -> None:
        self.run_until(lambda: self.session.state is State.LISTENING)

    # --- performing --------------------------------------------------------------------------

    def event(self, event: ev.Event) -> None:
        self._do(self.session.on_event(event, self.now_s))

    def play(self) -> None:
        due = self.session.due(self.now_s)
        self.handset.underruns += due.has_underrun
        for command in due.commands:
            if isinstance(command, PlayAudio):
                number = command.payload[0]
                assert self.said_by.get(number) not in self.dropped, "abandoned, yet spoken"
            self.handset.take(command, self.now_s)
        if due.commands:
            self._do(self.session.on_audio_written(self.now_s))

    def _do(self, actions: Sequence[ev.Action]) -> None:
        for action in actions:
            self.actions.append((self.now_s, action))
            match action:
                case ev.Write():
                    self.handset.take(action.command, self.now_s)
                case ev.Greet():
                    self._reply(action.generation, self.greeting)
                case ev.Ask():
                    if action.is_speculative:
                        self.guessed.append(action)
                    else:
                        self.asked.append(action.heard)
                    self._reply(action.generation, self.script(action.heard))
                case ev.Confirm():
                    self.asked += [
                        a.heard for a in self.guessed if a.generation == action.generation
                    ]
                case ev.Speak():
                    self._later.append(
                        (self.now_s + self.synthesis_s, self._speech(action.name, action))
                    )
                case ev.SpeakPrepared() if self.prepared:
                    self.event(self._speech(action.name, action))
                case ev.SpeakPrepared():
                    self.event(ev.SentenceFailed(action.name))
                case ev.Abandon() if ev.Count(ev.Tally.APOLOGY) not in actions:
                    self.dropped |= {g for g in self.said_by.values() if g <= action.generation}
                case ev.EndListening():
                    words = (
                        self._words.popleft()
                        if self._words
                        else base.Final("", is_understood=False, confidence=0.0)
                    )
                    self._later.append((self.now_s + self.transcription_s, ev.Transcribed(words)))
                case ev.End():
                    self.ended = action
                case _:
                    pass

    def _reply(self, generation: int, pieces: Sequence[base.Piece | None]) -> None:
        at_s = self.now_s + self.brain_s
        for piece in pieces:
            if piece is None:
                self._later.append((at_s, ev.ReplyFailed(generation)))
                return
            self._later.append((at_s, ev.ReplyPiece(generation, piece)))
            at_s += self.piece_s
        self._later.append((at_s, ev.ReplyRead(generation)))

    def _speech(self, name: str, action: ev.Speak | ev.SpeakPrepared) -> ev.SentenceAudio:
        self._spoken += 1
        self.said_by[self._spoken % 200] = action.generation
        audio = bytes([self._spoken % 200]) * int(len(action.text) / CHARS_PER_S * 8000)
        return ev.SentenceAudio(name, audio, -20.0, is_last=True)

    # --- another worker ----------------------------------------------------------------------

    def taken_down(self) -> Snapshot:
        """The session as text and back."""
        text = json.dumps(write_snapshot(self.session.snapshot(self.now_s, WALL_S)))
        return read_snapshot(json.loads(text))

    def moved(self, *, away_s: float = 1.0) -> Scene:
        """The same call on another worker, the caller's stream there again and draining."""
        other = Scene(
            self.script,
            synthesis_s=self.synthesis_s,
            brain_s=self.brain_s,
            piece_s=self.piece_s,
            kept=self.taken_down(),
            away_s=away_s,
        )
        other.start("stream-2")
        other._do(other.session.drain("drained#2", other.now_s))
        return other

    # --- looking -----------------------------------------------------------------------------

    def times(self, kind: type[ev.Action]) -> list[float]:
        return [at_s for at_s, action in self.actions if isinstance(action, kind)]

    def written(self, kind: type[OutboundCommand]) -> list[float]:
        return [
            at_s
            for at_s, action in self.actions
            if isinstance(action, ev.Write) and isinstance(action.command, kind)
        ]

    def tallies(self) -> list[ev.Tally]:
        return [action.tally for _, action in self.actions if isinstance(action, ev.Count)]

    def history(self) -> list[tuple[str, str]]:
        return [(message.role, message.text) for message in self.session.history]
