"""Voice activity by the Silero model, embedded: on one CPU thread, all calls in one batch.

The model was made for windows of 32 ms with 4 ms of context. Here every 20 ms frame is scored as
the end of such a window, the recurrent state carried on: that decides 10 to 20 ms sooner than
waiting for whole windows, and measures better throughout.

Its recurrent state drifts in long tones, music and noise until it hears speech no more. So a call
starts afresh, state and context, whenever it has been quiet for a moment and some seconds have
passed since it last did.

A frame that is far too quiet to be speech counts as silence, unheard. Most frames of most calls are
such: a caller listens, and the network sends silence or the line's noise. When sound follows, the
model first hears the last half second of them, so that it judges by what came before. The limit is
15 dB below what the detector takes for speech of anybody (VadTuning.gate_dbfs). With a shorter
memory of what was skipped the set of deploy/bench/interruptions is silenced later: by 5 ms in the
mean with 8 frames, 2 ms with 16, less than 1 ms with 24; with none, 2 coughs of 40 interrupt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from services.agent.providers.base import FRAME_SAMPLES, VadState
from services.agent.providers.errors import ProviderUnavailable
from services.agent.providers.offline.silero_network import STATE, WINDOW_SAMPLES, SileroNetwork

_NAME = "silero"
_WEIGHTS = Path(__file__).with_name("silero_8k.npz")
_CONTEXT_SAMPLES = WINDOW_SAMPLES - FRAME_SAMPLES
_FULL_SCALE = 32768.0
_SILENCE = np.zeros(FRAME_SAMPLES, np.float32)
_NO_RECURRENT = np.zeros(STATE, np.float32)
_RESET_AFTER_FRAMES = 200  # 4 s
_QUIET_FRAMES = 8  # 160 ms
_QUIET_PROBABILITY = 0.1
_QUIET_DBFS = -60.0
_UNHEARD_FRAMES = 24
_Frame: TypeAlias = NDArray[np.float32]


class SileroState:
    """One call: its newest frames, the recurrent state, and when it was last made new.

    Attributes:
        before: the frame before the first that the recurrent state is to hear next.
        unheard: frames after it that were too quiet to be scored, the newest few.
        recurrent: none of these arrays is written to, they are parts of batches.
    """

    def __init__(self) -> None:
        self.before = _SILENCE
        self.unheard: deque[_Frame] = deque()
        self.recurrent = _NO_RECURRENT
        self.frames = 0
        self.quiet_frames = 0

    def reset(self) -> None:
        """See VadState."""
        self.before, self.recurrent = _SILENCE, _NO_RECURRENT
        self.unheard.clear()
        self.frames = self.quiet_frames = 0

    def skip(self, frame: _Frame) -> None:
        """Keep a frame that is too quiet, for when sound follows; what is older is forgotten."""
        self.unheard.append(frame)
        if len(self.unheard) > _UNHEARD_FRAMES:
            self.before, self.recurrent = self.unheard.popleft(), _NO_RECURRENT

    def advance(self, probability: float) -> None:
        """Count a frame; start afresh when that is due."""
        self.frames += 1
        self.quiet_frames = self.quiet_frames + 1 if probability < _QUIET_PROBABILITY else 0
        if self.frames >= _RESET_AFTER_FRAMES and self.quiet_frames >= _QUIET_FRAMES:
            self.reset()


class SileroVoiceActivity:
    """The model, loaded once for all calls of a worker.

    Args:
        weights_path: another file of the same model's weights.
        quiet_dbfs: level (RMS of a frame) below which a frame is silence, unheard.

    Raises:
        ProviderUnavailable: the file is missing or not this model.
    """

    def __init__(self, weights_path: Path = _WEIGHTS, *, quiet_dbfs: float = _QUIET_DBFS) -> None:
        # Threads would spend more on waiting for each other than such products take.
        threadpool_limits(1, user_api="blas")
        try:
            self._network = SileroNetwork.load(weights_path)
        except (OSError, ValueError, KeyError) as exc:
            raise ProviderUnavailable(_NAME, f"cannot load {weights_path.name}: {exc}") from exc
        self._least_power = 10 ** (quiet_dbfs / 10)

    def open(self) -> SileroState:
        """See VoiceActivity."""
        return SileroState()

    def score(
        self, states: Sequence[VadState], frames: NDArray[np.int16] | NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See VoiceActivity. About 70 us a frame alone, 16 us in a batch, 1 us if too quiet."""
        calls = [state for state in states if isinstance(state, SileroState)]
        count = len(states)
        if frames.shape != (count, FRAME_SAMPLES) or len(calls) != count:
            raise ValueError(f"{count} states of this model do not fit frames {frames.shape}")
        rows = frames.astype(np.float32)
        if frames.dtype == np.int16:
            rows /= _FULL_SCALE
        power: NDArray[np.float32] = np.einsum("ij,ij->i", rows, rows) / FRAME_SAMPLES
        probabilities = np.zeros(count, np.float32)
        loud = np.flatnonzero(power >= self._least_power)
        if len(loud):
            heard = [calls[number] for number in loud]
            self._catch_up(heard)
            probabilities[loud] = self._hear(heard, rows[loud])
        for number in np.flatnonzero(power < self._least_power):
            calls[number].skip(rows[number])
        for call, probability in zip(calls, probabilities.tolist(), strict=True):
            call.advance(probability)
        return probabilities

    def _catch_up(self, calls: Sequence[SileroState]) -> None:
        """Hear what was skipped last: sound is judged by what came before it."""
        while behind := [call for call in calls if call.unheard]:
            self._hear(behind, np.stack([call.unheard[0] for call in behind]))
            for call in behind:
                call.unheard.popleft()

    def _hear(self, calls: Sequence[SileroState], rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Score a frame of each call and move their recurrent states on."""
        count = len(calls)
        before = np.concatenate([call.before for call in calls]).reshape(count, FRAME_SAMPLES)
        windows = np.concatenate([before[:, -_CONTEXT_SAMPLES:], rows], axis=1)
        recurrent = np.concatenate([call.recurrent for call in calls]).reshape(count, STATE)
        scores, after = self._network.run(windows, recurrent)
        for call, frame, state in zip(calls, rows, after, strict=True):
            call.before, call.recurrent = frame, state
        return scores
