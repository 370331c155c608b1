"""PURE. Where the caller's speech begins and ends, from scored frames.

Start: one frame whose speech probability and level are both high enough. The level gate is low
while the agent is silent; while it is audible, and a little longer, the gate is tied to the
agent's own level, because the echo of its voice is speech too. How far below depends on the line:
where the last seconds brought back less echo than feared, quiet callers need not speak up. End:
silence for a time that is settled frame by frame: how long is the session's to say, see
`endpointing.py`.

Why one frame is enough, and where the numbers come from: `tests/contract/
test_speech_detection.py` measures onset latency and false starts on synthetic callers, noise,
tones and echo.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from services.agent.turn.echo import EchoMemory
from shared.audio.level import SILENCE_DBFS

FRAME_S = 0.02
_FRESH_FRAMES = 10  # the newest 200 ms may already be the caller's first sounds


@dataclass(frozen=True, slots=True)
class VadTuning:
    """What counts as speech.

    Attributes:
        start_probability: a frame at least this likely to be speech starts it.
        gate_dbfs: level (RMS of 20 ms) below which nothing starts.
        echo_margin_db: while the agent is audible the gate is its level less this: 13 keeps an
            echo 22 dB below the agent from starting speech. On a line with less echo the gate
            comes down, to `echo_headroom_db` above the echo's peaks.
        echo_headroom_db: see above.
        echo_learn_s: how much of the agent's speech must be observed first, and is looked back on.
        echo_tail_s: how long after the agent fell silent its echo may still come.
        stay_probability: in speech, a frame below this is silence...
        stay_gate_db: ...and so is one this much below the gate.
        end_silence_s: silence that ends speech where `on_frame` is given no other.
        lookback_s: how far before the deciding frame the onset is looked for.
    """

    start_probability: float = 0.4
    gate_dbfs: float = -45.0
    echo_margin_db: float = 13.0
    echo_headroom_db: float = 6.0
    echo_learn_s: tuple[float, float] = (1.0, 8.0)
    echo_tail_s: float = 0.25
    stay_probability: float = 0.25
    stay_gate_db: float = 6.0
    end_silence_s: float = 0.5
    lookback_s: float = 0.24


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller speaks. `onset_s`: when they began, as far as the frames tell (20 ms grain)."""

    onset_s: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The caller has been silent long enough. `ended_s`: the end of the last frame of speech."""

    onset_s: float
    ended_s: float


SpeechEvent: TypeAlias = SpeechStarted | SpeechEnded


_Frame: TypeAlias = tuple[float, float, float]
"""When it ended, how likely speech is in it, its level: not a named tuple, which takes as long to
make as the rest of a quiet frame."""


class SpeechDetector:
    """One caller's speech. Feed every 20 ms frame, in order."""

    def __init__(self, tuning: VadTuning | None = None) -> None:
        self._tuning = tuning or VadTuning()
        self._recent: deque[_Frame] = deque(maxlen=round(self._tuning.lookback_s / FRAME_S) + 1)
        least_s, most_s = self._tuning.echo_learn_s
        self._echo = EchoMemory(
            least_frames=round(least_s / FRAME_S),
            most_frames=round(most_s / FRAME_S),
            fresh_frames=_FRESH_FRAMES,
        )
        self._level_dbfs = SILENCE_DBFS
        self._agent_dbfs: float | None = None
        self._agent_heard_s = 0.0
        self._onset_s: float | None = None
        self._voiced_s = 0.0
        self._voiced_frames = 0

    @property
    def is_speaking(self) -> bool:
        """Whether speech has started and not ended."""
        return self._onset_s is not None

    @property
    def speech_s(self) -> float:
        """From the onset of the speech in hand until its last sound; 0 while there is none."""
        return 0.0 if self._onset_s is None else self._voiced_s - self._onset_s

    @property
    def voiced_frames(self) -> int:
        """How many frames of the speech in hand were sound and not pause."""
        return self._voiced_frames if self.is_speaking else 0

    def quiet_s(self, now_s: float) -> float:
        """Return how long the pause in the speech in hand has lasted; 0 while there is none."""
        return 0.0 if self._onset_s is None else now_s - self._voiced_s

    def on_frame(
        self,
        probability: float,
        level_dbfs: float,
        agent_dbfs: float | None,
        now_s: float,
        *,
        end_silence_s: float | None = None,
    ) -> SpeechEvent | None:
        """Judge the newest frame.

        Args:
            probability: of speech in it, by the voice-activity model.
            level_dbfs: its RMS level, dB of full scale.
            agent_dbfs: level of the agent's speech at the caller's end now, None while silent.
            now_s: when the frame had arrived, on any steady clock.
            end_silence_s: silence that ends the speech in hand, judged anew with each frame; None
                for the tuning's.

        Returns:
            what this frame decided, mostly None.
        """
        before_dbfs, self._level_dbfs = self._level_dbfs, level_dbfs
        self._recent.append((now_s, probability, level_dbfs))
        if agent_dbfs is not None:
            self._agent_dbfs, self._agent_heard_s = agent_dbfs, now_s
        elif now_s - self._agent_heard_s > self._tuning.echo_tail_s:
            self._agent_dbfs = None
        if self._onset_s is None and probability < self._tuning.start_probability:
            # As nearly always: how loud it would have to be need not be known.
            if agent_dbfs is not None:
                self._echo.push(level_dbfs - agent_dbfs)
            return None
        gate = self._gate_dbfs()
        loudness = max(level_dbfs, before_dbfs)
        if self._onset_s is None:
            if agent_dbfs is not None:
                self._echo.push(level_dbfs - agent_dbfs)
            if loudness < gate:
                return None
            self._onset_s = self._find_onset()
            self._voiced_s = now_s
            self._voiced_frames = 1
            return SpeechStarted(self._onset_s)
        silence_s = self._tuning.end_silence_s if end_silence_s is None else end_silence_s
        is_voiced = (
            probability >= self._tuning.stay_probability
            and loudness >= gate - self._tuning.stay_gate_db
        )
        if is_voiced:
            self._voiced_s = now_s
            self._voiced_frames += 1
        elif now_s - self._voiced_s >= silence_s - FRAME_S / 2:
            ended = SpeechEnded(self._onset_s, self._voiced_s)
            self._onset_s = None
            return ended
        return None

    def _gate_dbfs(self) -> float:
        if self._agent_dbfs is None:
            return self._tuning.gate_dbfs
        return max(self._tuning.gate_dbfs, self._agent_dbfs - self._echo_margin_db())

    def _echo_margin_db(self) -> float:
        peak_db = self._echo.peak_db
        if peak_db is None:
            return self._tuning.echo_margin_db
        return max(self._tuning.echo_margin_db, -peak_db - self._tuning.echo_headroom_db)

    def _find_onset(self) -> float:
        """Go back from the deciding frame while the sound is near it in level and rising.

        Speech often begins with a consonant that the model does not yet call speech; its level
        gives it away, within 20 dB of the frame that decided and above what came before it.
        """
        frames = list(self._recent)
        levels = [level_dbfs for _, _, level_dbfs in frames]
        loud_dbfs = max(levels[-2:])
        least_dbfs = max(loud_dbfs - 20.0, min(min(levels) + 6.0, loud_dbfs - 3.0))
        onset_s = frames[-1][0]
        for end_s, probability, level_dbfs in reversed(frames[:-1]):
            if level_dbfs < least_dbfs and probability < self._tuning.stay_probability:
                break
            onset_s = end_s
        return onset_s - FRAME_S
