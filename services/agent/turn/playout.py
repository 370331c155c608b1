"""PURE. What the agent says, on its way to the caller's ear.

Sentences wait here as mu-law audio. `due` hands out the frames that the schedule asks for: the
caller's playback is kept a small lead ahead of real time, no more, so that an interruption loses
little and is silent at once. Frames go out some at a time, as each write costs the same however
much is in it; they stay frames of 20 ms each, at whose grain playback stops. A checkpoint follows
the last sound of each sentence, before the silence that it ends with. From what was sent, when, and
which checkpoints came back, `clear` tells what the caller has really heard.

The schedule is absolute: frames are due when the playback would otherwise fall a whole frame behind
the lead, counted from when the playback began; they go out at the last tick before that. A late
clock therefore catches up by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from services.agent.turn.spoken import BYTES_PER_S, SILENCE, HeardSentence, Sentence
from shared.audio.format import FRAME_BYTES, FRAME_S
from shared.protocol.call import StreamId
from shared.protocol.telephony import Checkpoint, OutboundCommand, PlayAudio

CLEAR_TIMEOUT_S = 1.0
"""Backstop of the wait for clearedAudio (vobiz.ai, clearAudio page)."""
BRIDGE_S = 0.35
"""Audio written ahead for the caller to hear while another worker takes the call over."""
DRAIN_GRACE_S = BRIDGE_S + 0.15
"""How long after the lead that another worker keeps queued it counts as stuck."""
CHECKPOINT_GRACE_S = 1.5
"""How long after its expected end a sentence counts as heard without playedStream."""
_CLOCK_GRAIN_S = 1e-6
_MOST_STRAYS = 16


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be written now.

    `lateness_s` has one entry a frame, from when it was due until now. `has_underrun`: the
    caller's playback ran dry in the middle of a sentence.
    """

    commands: tuple[OutboundCommand, ...]
    lateness_s: tuple[float, ...]
    has_underrun: bool


_NOTHING = Due((), (), has_underrun=False)


class Playout:
    """The way to one caller's ear. Not open until `open`; holds still after `clear`.

    Args:
        lead_s: how far playback is kept ahead of real time at least, 0.2 to 0.4 is sensible.
        burst_s: how much goes out at a time; one frame where it is less than one.
    """

    def __init__(self, *, lead_s: float = 0.3, burst_s: float = 0.0) -> None:
        self._lead_s = lead_s
        self._ahead_s = lead_s + max(0.0, burst_s - FRAME_S)
        self._sentences: deque[Sentence] = deque()
        self._by_name: dict[str, Sentence] = {}
        self._stream_id: StreamId | None = None
        self._is_open = False
        self._is_held = False
        self._clear_sent_s: float | None = None
        self._drain: tuple[str, float] | None = None
        self._strays: deque[str] = deque(maxlen=_MOST_STRAYS)
        self._total_sent = 0
        self._played_until_s = 0.0
        self._checkpoints = 0
        self._has_sent_frame = False
        self._newest_sent: str | None = None
        self._is_dry = True

    # --- the stream --------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether there is a stream to play to."""
        return self._is_open

    @property
    def stream_id(self) -> StreamId | None:
        """The newest stream's id, None where it is not known."""
        return self._stream_id

    def open(self, stream_id: StreamId | None) -> None:
        """A stream is there; audio may go out."""
        self._is_open = True
        self._stream_id = stream_id

    def name_stream(self, stream_id: StreamId) -> None:
        """The stream's id became known after all."""
        self._stream_id = stream_id

    def reopen(self, stream_id: StreamId | None, *, lost_s: float) -> None:
        """The caller is back on a new stream; nothing queued on the old one survived.

        What was not heard by `lost_s` is taken up again, from the word in hand.
        """
        self._retain_unheard(lost_s)
        self._rewind_to_word()
        self._clear_sent_s = self._drain = None
        self.open(stream_id)

    def leave(self) -> None:
        """The stream is given up for a while: nothing goes out until `open`."""
        self._is_open = False

    # --- sentences ---------------------------------------------------------------------------

    def add_sentence(
        self,
        name: str,
        generation: int,
        text: str,
        *,
        is_interruptible: bool = True,
        formerly: str | None = None,
    ) -> None:
        """Queue a sentence whose audio will follow. Names are used once."""
        sentence = Sentence(name, generation, text, is_interruptible, formerly=formerly)
        self._sentences.append(sentence)
        self._by_name[name] = sentence
        if formerly in self._strays:
            self._on_played_formerly(str(formerly))

    def add_first(self, name: str, generation: int, text: str) -> None:
        """Queue a sentence before all others; only while nothing of them was sent."""
        sentence = Sentence(name, generation, text)
        self._sentences.appendleft(sentence)
        self._by_name[name] = sentence

    def add_text(self, name: str, text: str) -> None:
        """Add to the words of a sentence that is known by and by; unknown names are old."""
        if name in self._by_name:
            self._by_name[name].text += text

    def remove(self, name: str) -> None:
        """Take out a sentence of which nothing was sent."""
        sentence = self._by_name.pop(name, None)
        if sentence is not None:
            self._sentences.remove(sentence)

    def drop_unmade(self) -> None:
        """Let go of what has no audio yet; a sentence broken off in its midst ends there."""
        for sentence in list(self._sentences):
            if sentence.is_complete:
                continue
            if sentence.sent == 0:
                self.remove(sentence.name)
                continue
            sentence.text = sentence.text_of(len(sentence.audio))
            sentence.is_complete = True

    def add_audio(self, name: str, ulaw: bytes, *, level_dbfs: float, is_last: bool) -> bool:
        """Append audio to a sentence; False when the sentence is no longer wanted."""
        sentence = self._by_name.get(name)
        if sentence is None or sentence.is_complete:
            return False
        sentence.audio += ulaw
        sentence.is_complete = is_last
        if ulaw:
            sentence.level_dbfs = level_dbfs
        return True

    def is_making(self, name: str) -> bool:
        """Whether a sentence is wanted whose audio is not all there."""
        return name in self._by_name and not self._by_name[name].is_complete

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        """What is queued, sent or not, in order; to be read only."""
        return tuple(self._sentences)

    @property
    def has_unplayed(self) -> bool:
        """Whether anything is queued, sent and not played, or still being made."""
        return bool(self._sentences)

    @property
    def has_sent(self) -> bool:
        """Whether anything of what is queued has gone out, heard or not."""
        if self._sentences and self._sentences[0].sent:
            return True
        return any(sentence.sent for sentence in self._sentences)

    @property
    def newest_sent(self) -> str | None:
        """The name of the sentence whose audio went out last, None before the first."""
        return self._newest_sent

    def in_hand(self, now_s: float) -> Sentence | None:
        """Return the sentence that the caller hears now or next; to be read only."""
        for sentence in self._sentences:
            is_heard = sentence.is_complete and self._heard_bytes(sentence, now_s) >= len(
                sentence.audio
            )
            if not is_heard:
                return sentence
        return None

    def remaining_s(self, now_s: float) -> float | None:
        """Return how much of all that is queued is still to be heard, None if not all is made."""
        if not all(s.is_complete for s in self._sentences):
            return None
        unheard = sum(len(s.audio) - self._heard_bytes(s, now_s) for s in self._sentences)
        return unheard / BYTES_PER_S

    def heard_of_last(self, now_s: float) -> float:
        """Return which part (0..1) of the last sentence that is queued was heard."""
        if not self._sentences:
            return 1.0
        last = self._sentences[-1]
        return self._heard_bytes(last, now_s) / max(1, last.expected_bytes)

    def is_audible(self, now_s: float) -> bool:
        """Whether the caller hears the agent now, as far as the playout clock tells."""
        return self._played_until_s > now_s and self._has_sent_frame

    def level_dbfs(self, now_s: float) -> float | None:
        """How loud the agent is at the caller's end, None when it is silent."""
        if not self.is_audible(now_s):
            return None
        loudest = None
        for sentence in self._sentences:
            if not sentence.sent:
                if sentence.audio:
                    break  # what follows has not gone out either
            elif loudest is None or sentence.level_dbfs > loudest:
                loudest = sentence.level_dbfs
        return loudest

    # --- sending -----------------------------------------------------------------------------

    @property
    def next_s(self) -> float:
        """When `due` is worth asking again: before that it has nothing to write."""
        if not self._sentences:
            return float("inf")
        return float("-inf") if self._is_dry else self._played_until_s - self._lead_s

    def due(self, now_s: float, *, more_s: float = 0.0) -> Due:
        """Return the commands to be written now, in order; `more_s` ahead of the schedule."""
        is_waiting = self._is_held or self._clear_sent_s is not None
        if is_waiting or self._drain is not None or not self._is_open or not self._sentences:
            self._is_dry = True
            return _NOTHING
        ahead_s = self._played_until_s - now_s
        if ahead_s >= self._lead_s + more_s - _CLOCK_GRAIN_S and not self._is_dry:
            return _NOTHING
        was_dry, self._is_dry = self._is_dry, True
        commands: list[OutboundCommand] = []
        lateness: list[float] = []
        has_underrun = False
        for sentence in self._unsent():
            while self._played_until_s - now_s < self._ahead_s + more_s - _CLOCK_GRAIN_S:
                frame = sentence.take_frame()
                if frame is None:
                    break
                is_mid_sentence = sentence.start_byte is not None
                if self._played_until_s >= now_s:
                    due_s = self._played_until_s + FRAME_S - self._lead_s
                    # What fills the lead when there is audio again was not to be had before.
                    lateness.append(0.0 if was_dry else max(0.0, now_s - due_s))
                else:
                    has_underrun |= is_mid_sentence
                    self._played_until_s = now_s
                if not is_mid_sentence:
                    sentence.start_byte = self._total_sent
                commands.append(PlayAudio(frame, stream_id=self._stream_id))
                self._newest_sent = sentence.name
                self._has_sent_frame = True
                self._total_sent += FRAME_BYTES
                self._played_until_s += FRAME_S
                is_marked = sentence.checkpoint is not None or not sentence.is_complete
                if not is_marked and sentence.sent >= sentence.sound_bytes:
                    commands.append(self._mark(sentence))
            else:
                self._is_dry = False
            if not (sentence.is_complete and sentence.sent >= len(sentence.audio)):
                break
            if sentence.checkpoint is None and sentence.start_byte is None:
                # Nothing to be said: no audio, so no checkpoint that could come back.
                sentence.checkpoint = ""
                sentence.is_played = True
            elif sentence.checkpoint is None:
                # Its end became known after its last frame had gone out.
                commands.append(self._mark(sentence))
        return Due(tuple(commands), tuple(lateness), has_underrun)

    def _mark(self, sentence: Sentence) -> Checkpoint:
        sentence.end_s = self._played_until_s
        self._checkpoints += 1
        sentence.checkpoint = f"{sentence.name}#{self._checkpoints}"
        return Checkpoint(sentence.checkpoint, stream_id=self._stream_id)

    def _unsent(self) -> Iterator[Sentence]:
        # Not a list of them: a long answer has a hundred, and the first is mostly all that is due.
        return (sentence for sentence in self._sentences if not sentence.is_sent)

    # --- hearing -----------------------------------------------------------------------------

    def on_played(self, checkpoint: str) -> None:
        """A checkpoint came back: it and all before it were heard. Unknown ones are old."""
        if self._drain is not None and checkpoint == self._drain[0]:
            self._drain = None
        self._on_played_formerly(checkpoint.partition("#")[0])
        if all(s.checkpoint != checkpoint for s in self._sentences):
            # Perhaps of a sentence that another worker sent and the brain is still to give again.
            self._strays.append(checkpoint.partition("#")[0])
        else:
            for sentence in self._sentences:
                sentence.is_played = True
                if sentence.checkpoint == checkpoint:
                    return

    def _on_played_formerly(self, name: str) -> None:
        """Take out what was heard before another worker's end, unless it is being said again."""
        unsaid = [s for s in self._sentences if s.sent == 0 and not s.is_sent]
        names = [s.formerly for s in unsaid]
        if name not in names:
            return
        for sentence in unsaid[: names.index(name) + 1]:
            sentence.is_played = sentence.is_complete = True
            sentence.checkpoint = sentence.formerly or ""
            sentence.sent = len(sentence.audio)

    def take_heard(self, now_s: float) -> list[HeardSentence]:
        """Remove and return the sentences that were heard to their end.

        One whose checkpoint is overdue counts as heard: playedStream is not guaranteed.
        """
        heard: list[HeardSentence] = []
        while self._sentences:
            sentence = self._sentences[0]
            if sentence.checkpoint is None:
                break
            is_overdue = sentence.is_sent and now_s > sentence.end_s + CHECKPOINT_GRACE_S
            if not (sentence.is_sent and (sentence.is_played or is_overdue)):
                break
            self._forget(sentence)
            heard.append(
                HeardSentence(
                    sentence.generation,
                    sentence.name,
                    sentence.text,
                    is_whole=True,
                    heard_s=sentence.heard_s,
                )
            )
        return heard

    def _forget(self, sentence: Sentence) -> None:
        self._sentences.popleft()
        del self._by_name[sentence.name]

    def _heard_bytes(self, sentence: Sentence, now_s: float) -> int:
        """How much of a sentence was heard, from its very beginning."""
        if sentence.is_played:
            return len(sentence.audio)
        if sentence.start_byte is None:
            return sentence.skipped
        unplayed = max(0.0, self._played_until_s - now_s) * BYTES_PER_S
        heard = int(self._total_sent - unplayed) - sentence.start_byte
        return sentence.skipped + min(max(heard, 0), sentence.sent - sentence.skipped)

    # --- interruption ------------------------------------------------------------------------

    def pause(self, now_s: float) -> bool:
        """Fall silent until `resume` or `discard`; what was not heard is kept.

        Returns:
            whether anything was sent that has to be cleared: then clearAudio is to be written, and
            audio goes out again only after `on_cleared` or its backstop.
        """
        self._is_held = True
        was_audible = self.is_audible(now_s) or self._drain is not None
        self._drain = None
        self._retain_unheard(now_s)
        if was_audible and self._is_open:
            self._clear_sent_s = now_s
        return was_audible

    def _retain_unheard(self, now_s: float) -> None:
        for sentence in self._sentences:
            heard = self._heard_bytes(sentence, now_s)
            if sentence.checkpoint is not None and heard >= sentence.sound_bytes:
                # Whether or not its checkpoint comes back still: it is over.
                sentence.is_played = True
                sentence.sent = len(sentence.audio)
                continue
            sentence.sent = sentence.skipped = heard
            sentence.start_byte = None
            sentence.checkpoint = None
        self._played_until_s = now_s
        self._total_sent = 0
        self._has_sent_frame = False

    def hold(self) -> None:
        """Keep everything back until `release`, `resume` or `discard`."""
        self._is_held = True

    def release(self) -> None:
        """What was kept back by `hold` may go out."""
        self._is_held = False

    def resume(self) -> None:
        """Go on from the beginning of the word that was cut."""
        self._is_held = False
        self._rewind_to_word()

    def _rewind_to_word(self) -> None:
        sentence = next((s for s in self._sentences if not s.is_sent), None)
        if sentence is not None:
            sentence.rewind_to_word()

    def discard(self, now_s: float) -> list[HeardSentence]:
        """Drop everything; return what was heard of it, in order, unheard sentences left out."""
        self._is_held = False
        heard = []
        while self._sentences:
            sentence = self._sentences[0]
            count = self._heard_bytes(sentence, now_s)
            is_whole = sentence.is_played or (sentence.is_complete and count >= len(sentence.audio))
            text = sentence.text if is_whole else sentence.text_of(count)
            if text:
                heard.append(
                    HeardSentence(
                        sentence.generation, sentence.name, text, is_whole, count / BYTES_PER_S
                    )
                )
            self._forget(sentence)
        return heard

    def drain(self, name: str, now_s: float) -> list[OutboundCommand]:
        """Let what another worker has queued be heard: nothing goes out until it is.

        So it is certain what the caller has heard: a sentence whose last sound is out already
        would be said twice if its checkpoint were cleared.

        Args:
            name: of the checkpoint that ends it; used once in a stream.
            now_s: the present.

        Returns:
            what is to be written; a checkpoint without audio before it may never come back.
        """
        self._drain = name, now_s
        silence = PlayAudio(SILENCE * FRAME_BYTES, stream_id=self._stream_id)
        return [silence, Checkpoint(name, stream_id=self._stream_id)]

    def give_up_drain(self, now_s: float) -> bool:
        """Stop waiting for it when that took too long, and say whether it has: clear instead."""
        if self._drain is None or now_s - self._drain[1] < self._ahead_s + DRAIN_GRACE_S:
            return False
        self._drain = None
        self._clear_sent_s = now_s
        return True

    def on_cleared(self, now_s: float) -> float | None:
        """Vobiz has cleared its queue; return how long that took, None if nobody had asked."""
        if self._clear_sent_s is None:
            return None
        took_s = now_s - self._clear_sent_s
        self._clear_sent_s = None
        return took_s

    def give_up_clear(self, now_s: float) -> bool:
        """Stop waiting for clearedAudio when the backstop has passed; say whether it has."""
        if self._clear_sent_s is None or now_s - self._clear_sent_s < CLEAR_TIMEOUT_S:
            return False
        self._clear_sent_s = None
        return True
