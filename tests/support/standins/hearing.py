"""What the stand-ins hear: speech is told from silence by its level, words by one of three ears.

ScriptedEar gives the next text of a script for each utterance; PhraseEar really recognises, by
the offline decoder, which of its phrases was said; ToneEar hears a code of tones, one a word, so
that a test can tell exactly which sound became which word.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.agent.providers.offline.sphinx_decoder import SphinxDecoder
from shared.audio.level import level_dbfs

Pcm = NDArray[np.int16]
RATE_HZ = 8000
FRAME = 160
_FRAME_S = FRAME / RATE_HZ
_LOUD_DBFS = -45.0
_WORD_S = 0.28
_LEAST_SPEECH_S = 0.06


@dataclass(frozen=True, slots=True)
class HeardWord:
    """One word; its times are in seconds of the audio that this listener was given."""

    text: str
    start_s: float
    end_s: float


class Ear(Protocol):
    """Turns the sound of one utterance into words."""

    def begin(self) -> str:
        """An utterance begins; returns what the ear needs for it, a script's text or nothing."""
        ...

    def give_back(self, text: str) -> None:
        """What began was never told to anybody: it will be heard again."""
        ...

    def words(self, pcm: Pcm, start_s: float, text: str, *, is_over: bool) -> list[HeardWord]:
        """Words of an utterance so far, in order; earlier words never change."""
        ...


class ScriptedEar:
    """The next text for each utterance; when the script is over, the last line `otherwise`."""

    def __init__(self, script: Iterable[str] = (), *, otherwise: str = "") -> None:
        self.script = deque(script)
        self.otherwise = otherwise

    def begin(self) -> str:
        return self.script.popleft() if self.script else self.otherwise

    def give_back(self, text: str) -> None:
        self.script.appendleft(text)

    def words(self, pcm: Pcm, start_s: float, text: str, *, is_over: bool) -> list[HeardWord]:
        duration_s = len(pcm) / RATE_HZ
        if is_over:
            return spread(text, start_s, duration_s)
        known = int(duration_s / _WORD_S)
        return spread(" ".join(text.split()[:known]), start_s, known * _WORD_S)


class PhraseEar:
    """Recognises which of a few phrases was said; the decoder takes 0.3 s to make."""

    def __init__(self, phrases: Sequence[str], *, digits: bool = False) -> None:
        self._decoder = SphinxDecoder()
        self._phrases = tuple(phrases)
        self._digits = digits

    def begin(self) -> str:
        return ""

    def give_back(self, text: str) -> None:
        pass

    def words(self, pcm: Pcm, start_s: float, text: str, *, is_over: bool) -> list[HeardWord]:
        if not is_over:
            return []
        silence = np.zeros(RATE_HZ // 4, np.int16)
        padded = np.concatenate([silence, pcm, silence])
        heard = self._decoder.recognise(padded, self._phrases, digits=self._digits)
        return spread(heard.text if heard.is_understood else "", start_s, len(pcm) / RATE_HZ)


TONE_WORDS = (
    *("one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
_TONE_S, _TONE_GAP_S = 0.2, 0.06


def tone_speech(words: Sequence[str], *, dbfs: float = -20.0) -> Pcm:
    """Say words of TONE_WORDS in the code that ToneEar hears: 0.2 s of tone, 0.06 s of rest."""
    times = np.arange(int(_TONE_S * RATE_HZ)) / RATE_HZ
    rest = np.zeros(int(_TONE_GAP_S * RATE_HZ))
    peak = 32768 * 10 ** (dbfs / 20) * 2**0.5
    parts = []
    for word in words:
        tone = peak * np.sin(2 * np.pi * (400 + 200 * TONE_WORDS.index(word)) * times)
        parts += [tone, rest]
    speech: Pcm = np.rint(np.concatenate(parts)).astype(np.int16)
    return speech


class ToneEar:
    """Hears `tone_speech`; a tone of which less than half is there is not heard."""

    def begin(self) -> str:
        return ""

    def give_back(self, text: str) -> None:
        pass

    def words(self, pcm: Pcm, start_s: float, text: str, *, is_over: bool) -> list[HeardWord]:
        found = []
        block = RATE_HZ // 100
        is_loud = [
            level_dbfs(pcm[at : at + block]) > _LOUD_DBFS
            for at in range(0, len(pcm) - block + 1, block)
        ]
        begun = None
        for place, loud in enumerate([*is_loud, not is_loud[-1] if is_loud else False]):
            if place == len(is_loud) and not is_over:
                break
            if loud and begun is None and place < len(is_loud):
                begun = place
            elif begun is not None and (not loud or place == len(is_loud)):
                found += self._word(pcm, start_s, begun * block, place * block)
                begun = None
        return found

    @staticmethod
    def _word(pcm: Pcm, start_s: float, begin: int, end: int) -> list[HeardWord]:
        if end - begin < _TONE_S * RATE_HZ / 2:
            return []
        spectrum = np.abs(np.fft.rfft(pcm[begin:end].astype(np.float64), RATE_HZ))
        number = round((int(np.argmax(spectrum)) - 400) / 200)
        if not 0 <= number < len(TONE_WORDS):
            return []
        return [HeardWord(TONE_WORDS[number], start_s + begin / RATE_HZ, start_s + end / RATE_HZ)]


def spread(text: str, start_s: float, duration_s: float) -> list[HeardWord]:
    """Spread a text's words evenly over a time."""
    words = text.split()
    each_s = duration_s / max(1, len(words))
    return [
        HeardWord(word, start_s + n * each_s, start_s + (n + 1) * each_s)
        for n, word in enumerate(words)
    ]


@dataclass(slots=True)
class Utterance:
    """Speech between two silences. `told` words have been given as final already."""

    start_s: float
    text: str
    chunks: list[Pcm] = field(default_factory=list)
    told: int = 0
    is_continued: bool = False

    @property
    def pcm(self) -> Pcm:
        return np.concatenate(self.chunks) if self.chunks else np.zeros(0, np.int16)


class Listener:
    """Follows one connection's audio: where speech begins and ends, what was said so far.

    Args:
        ear: what turns sound into words.
        quiet_s: silence that ends an utterance.
        same_gap_s: an utterance that begins so soon after another is its rest: nothing more of the
            script is used up.
    """

    def __init__(self, ear: Ear, *, quiet_s: float = 0.3, same_gap_s: float = 0.45) -> None:
        self._ear = ear
        self._quiet_s = quiet_s
        self._same_gap_s = same_gap_s
        self._rest = np.zeros(0, np.int16)
        self._frames = 0
        self._loud_until_s = -10.0
        self.utterance: Utterance | None = None

    @property
    def now_s(self) -> float:
        """How much audio has been heard."""
        return self._frames * _FRAME_S

    @property
    def is_over(self) -> bool:
        """Whether the utterance in hand has been followed by enough silence."""
        return (
            self.utterance is not None and self.now_s - self._loud_until_s >= self._quiet_s - 1e-6
        )

    @property
    def quiet_since_s(self) -> float:
        """When the last loud frame ended."""
        return self._loud_until_s

    def frames(self, pcm: Pcm) -> Iterable[None]:
        """Hear audio, 20 ms at a time; the caller looks at the state after each."""
        held = np.concatenate([self._rest, pcm])
        whole = len(held) // FRAME * FRAME
        self._rest = held[whole:]
        for at in range(0, whole, FRAME):
            self._hear(held[at : at + FRAME])
            yield

    def _hear(self, frame: Pcm) -> None:
        start_s = self.now_s
        self._frames += 1
        if level_dbfs(frame) > _LOUD_DBFS:
            if self.utterance is None:
                is_same = start_s - self._loud_until_s < self._same_gap_s
                self.utterance = Utterance(start_s, "" if is_same else self._ear.begin())
                self.utterance.is_continued = is_same
            self._loud_until_s = self.now_s
        if self.utterance is not None:
            self.utterance.chunks.append(frame.copy())

    def words(self, *, is_over: bool) -> list[HeardWord]:
        """The words of the utterance in hand that have not been told as final."""
        if self.utterance is None:
            return []
        pcm = self.utterance.pcm
        if is_over:
            pcm = pcm[: max(0, int((self._loud_until_s - self.utterance.start_s) * RATE_HZ))]
        if is_over and len(pcm) < _LEAST_SPEECH_S * RATE_HZ:
            return []
        utterance = self.utterance
        heard = self._ear.words(pcm, utterance.start_s, utterance.text, is_over=is_over)
        return heard[utterance.told :]

    def finish(self) -> None:
        """The utterance in hand has been told to its end."""
        self.utterance = None

    def give_back(self) -> None:
        """The connection is lost: what was begun and not told is heard again."""
        if self.utterance is not None and not self.utterance.is_continued and self.utterance.text:
            self._ear.give_back(self.utterance.text)
        self.utterance = None


def hear_whole(ear: Ear, pcm: Pcm) -> tuple[str, str]:
    """Hear a recording at once: its words, and what `give_back` wants when it was for nothing."""
    loud = [
        at
        for at in range(0, len(pcm) - FRAME + 1, FRAME)
        if level_dbfs(pcm[at : at + FRAME]) > _LOUD_DBFS
    ]
    if not loud or loud[-1] + FRAME - loud[0] < _LEAST_SPEECH_S * RATE_HZ:
        return "", ""
    text = ear.begin()
    speech = pcm[loud[0] : loud[-1] + FRAME]
    words = ear.words(speech, 0.0, text, is_over=True)
    return " ".join(word.text for word in words), text
