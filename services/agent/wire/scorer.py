"""All calls' frames scored together: one run of the model costs little more for ten than for one.

A frame waits some milliseconds for those of other calls; with few calls it does not, as nothing
would be gained. It keeps its place and its time: before anything else happens to its call, and
before the wheel turns, what waits is scored (`score_now`, `on_turn`). So a call sees everything in
the order it came in, a little later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import structlog

from services.agent.providers.base import FRAME_SAMPLES, Pcm, VadState, VoiceActivity
from services.agent.wire.caller_audio import CallerAudio, CallerFrame, RawFrame
from shared.audio.g711 import decode_ulaw
from shared.audio.level import levels_dbfs
from shared.metrics.catalogue import AgentMetrics
from shared.runtime.clock import Clock

_log = structlog.get_logger(__name__)
_WAIT_S = 0.010
"""Half a turn of the wheel, which scores what waits as well: so two batches a turn. Each reads the
network's weights anew and leaves little else in the nearest caches."""
_FEW_FRAMES = 4
"""So many in the last 20 ms, or fewer, don't wait for each other."""
_MOST_WAITING = 8
"""A call that sends more at once than this has its frames scored in between, alone."""


class FrameScorer:
    """The worker's.

    Args:
        activity: the voice activity model.
        metrics: where the wait is measured.
        clock: the worker's.
    """

    def __init__(self, activity: VoiceActivity, metrics: AgentMetrics, clock: Clock) -> None:
        self.activity = activity
        self._observe_wait = metrics.scoring_wait.observe
        self._clock = clock
        self._asked: list[CallerAudio] = []
        self._timer: asyncio.TimerHandle | None = None
        self._is_scoring = False
        self._frames = self._frames_before = 0

    def ask(self, audio: CallerAudio) -> None:
        """Have what waits of a call scored within some milliseconds."""
        if len(audio.waiting) > _MOST_WAITING:
            self.score_now(audio)
            return
        if audio.is_asked:
            return
        audio.is_asked = True
        self._asked.append(audio)
        if self._timer is None:
            is_busy = self._frames_before > _FEW_FRAMES
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_WAIT_S if is_busy else 0.0, self.score_all)

    def score_now(self, audio: CallerAudio, *, is_live: bool = True) -> None:
        """Score what waits of one call; nothing happens while its turn has come already.

        Args:
            audio: the call's.
            is_live: the frames came by themselves; those that another worker missed waited for
                something else, which is not measured.
        """
        if audio.waiting and not self._is_scoring:
            self._score([audio], is_live=is_live)

    def score_all(self) -> None:
        """Score all that waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        asked, self._asked = self._asked, []
        for audio in asked:
            audio.is_asked = False
        if asked:
            self._score(asked, is_live=True)

    def on_turn(self) -> None:
        """20 ms are over: score all that waits, before the calls do what is due by time."""
        self.score_all()
        self._frames_before, self._frames = self._frames, 0

    def _score(self, asked: Sequence[CallerAudio], *, is_live: bool) -> None:
        self._is_scoring = True
        try:
            while asked := [audio for audio in asked if audio.waiting]:
                oldest_s = min(audio.waiting[0][1] for audio in asked)
                self._score_one_each(asked)
                if is_live:
                    self._observe_wait(self._clock.now_s() - oldest_s)
        finally:
            self._is_scoring = False

    def _score_one_each(self, asked: Sequence[CallerAudio]) -> None:
        taken = [audio.waiting.popleft() for audio in asked]
        self._frames += len(taken)
        pcm = _samples([frame for frame, _ in taken])
        levels = levels_dbfs(pcm)
        scores = self._probabilities([audio.vad_state for audio in asked], pcm)
        for audio, samples, score, level, (_, at_s) in zip(
            asked, pcm, scores, levels, taken, strict=True
        ):
            if score is None:
                audio.on_broken()
            else:
                audio.on_frame(CallerFrame(samples.copy(), score, level, at_s))

    def _probabilities(self, states: Sequence[VadState], pcm: Pcm) -> Sequence[float | None]:
        """Score a frame of each call; None for those that the model breaks on."""
        try:
            scores: list[float] = self.activity.score(states, pcm).tolist()
            return scores
        except Exception:  # noqa: BLE001 - one call's frame must not end the others
            _log.exception("frames_not_scored", calls=len(states))
        if len(states) == 1:
            return [None]
        return [
            self._probabilities([state], pcm[number : number + 1])[0]
            for number, state in enumerate(states)
        ]


def _samples(frames: Sequence[RawFrame]) -> Pcm:
    """Return frames as rows of samples."""
    coded = [frame for frame in frames if isinstance(frame, bytes)]
    if len(coded) == len(frames):
        return decode_ulaw(b"".join(coded)).reshape(len(frames), FRAME_SAMPLES)
    return np.stack([decode_ulaw(f) if isinstance(f, bytes) else f for f in frames])
