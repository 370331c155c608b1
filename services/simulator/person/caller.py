"""PURE. The scripted person on the phone: what is said, pressed, and when the receiver goes down.

The person takes part in the conversation rather than playing a tape: each thing is said when the
agent has finished, or talks over the agent at a stated moment, and every wait has a limit, so
that a call always ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from shared.audio.format import FRAME_S

FRAME_SAMPLES = 160
_DIGIT_SPACING_S = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """Something said: 8 kHz PCM and what to call it in reports.

    Said when the agent has finished, or `barge_in_s` after the agent began to speak if it is
    still speaking then, or `at_s` after the answer whatever the agent does.
    """

    pcm: NDArray[np.int16]
    label: str
    barge_in_s: float | None = None
    at_s: float | None = None


@dataclass(frozen=True, slots=True)
class KeyPresses:
    """Keys pressed, 250 ms apart: in turn like an utterance, or `at_s` after the answer."""

    digits: str
    at_s: float | None = None


@dataclass(frozen=True, slots=True)
class CallerScript:
    """What the person will do, in order. Times are seconds.

    Args:
        turns: what is said and pressed.
        turn_silence_s: how long the agent must be quiet to have finished.
        patience_s: how long to wait for the agent before going on without it.
        linger_s: quiet after the agent's last reply before the person hangs up.
        hangup_at_s: hang up then and not before; None hangs up after the last reply.
        max_duration_s: hang up then at the latest.
    """

    turns: tuple[Utterance | KeyPresses, ...] = ()
    turn_silence_s: float = 0.7
    patience_s: float = 10.0
    linger_s: float = 1.5
    hangup_at_s: float | None = None
    max_duration_s: float = 120.0


class CallerState(StrEnum):
    """What the person is doing."""

    WAITING = "waiting"
    TALKING = "talking"
    PRESSING = "pressing"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class CallerStep:
    """20 ms of the person: PCM of 160 samples or None for quiet, keys, and the receiver.

    `began` is set in the step in which an utterance begins, `ended` in its last one.
    """

    pcm: NDArray[np.int16] | None = None
    digit: str = ""
    hangs_up: bool = False
    began: Utterance | None = None
    ended: Utterance | None = None


@dataclass(slots=True)
class _Agent:
    """What the person has heard of the agent since they last spoke themselves."""

    has_spoken: bool = False
    speaking_since: int | None = None
    quiet_steps: int = 0
    is_queue_empty: bool = True


@dataclass(slots=True)
class _Progress:
    turn: int = 0
    offset: int = 0
    step: int = -1
    waiting_since: int = 0
    pressed: list[tuple[float, str]] = field(default_factory=list)


class Caller:
    """Plays a `CallerScript`, one `step` every 20 ms from the answer on."""

    def __init__(self, script: CallerScript) -> None:
        self.state = CallerState.WAITING if script.turns else CallerState.DONE
        self._script = script
        self._turns = [t for t in script.turns if isinstance(t, Utterance) or t.at_s is None]
        self._agent = _Agent()
        self._at = _Progress()
        for turn in script.turns:
            if isinstance(turn, KeyPresses) and turn.at_s is not None:
                self._press(turn.digits, turn.at_s)
        if not self._turns:
            self.state = CallerState.DONE

    def step(self, *, is_agent_audible: bool, is_queue_empty: bool) -> CallerStep:
        """Live through the next 20 ms.

        Args:
            is_agent_audible: whether the 20 ms just heard held sound.
            is_queue_empty: whether the cloud has nothing more of the agent to play.
        """
        self._at.step += 1
        self._listen(is_agent_audible, is_queue_empty)
        digit = self._due_digit()
        if self._hangs_up():
            return CallerStep(digit=digit, hangs_up=True)
        if self.state is CallerState.WAITING and self._is_turn_due():
            self._begin()
        if self.state is CallerState.TALKING:
            return self._talk(digit)
        if self.state is CallerState.PRESSING and not self._at.pressed:
            self._next_turn()
        return CallerStep(digit=digit)

    def listen_again(self) -> None:
        """The agent is back after its line was lost: what was silence till now was not its."""
        self._agent.quiet_steps = 0

    @property
    def _now_s(self) -> float:
        return self._at.step * FRAME_S

    def _since_s(self, step: int) -> float:
        return (self._at.step - step) * FRAME_S

    def _listen(self, is_audible: bool, is_queue_empty: bool) -> None:
        agent = self._agent
        agent.is_queue_empty = is_queue_empty
        if not is_audible:
            agent.quiet_steps += 1
            return
        if agent.speaking_since is None or self._has_finished():
            agent.speaking_since = self._at.step
        agent.quiet_steps = 0
        agent.has_spoken = True

    def _quiet_s(self) -> float:
        return self._agent.quiet_steps * FRAME_S

    def _has_finished(self) -> bool:
        """Whether the agent has stopped: quiet and nothing queued, or quiet for twice as long."""
        silence_s = self._script.turn_silence_s
        if not self._agent.is_queue_empty:
            silence_s *= 2
        return self._quiet_s() >= silence_s

    def _is_turn_due(self) -> bool:
        turn = self._turns[self._at.turn]
        if isinstance(turn, Utterance) and turn.at_s is not None:
            return self._now_s >= turn.at_s
        agent = self._agent
        if agent.has_spoken and agent.speaking_since is not None:
            if self._has_finished():
                return True
            if isinstance(turn, Utterance) and turn.barge_in_s is not None:
                return self._since_s(agent.speaking_since) >= turn.barge_in_s
            return False
        return self._since_s(self._at.waiting_since) >= self._script.patience_s

    def _begin(self) -> None:
        turn = self._turns[self._at.turn]
        if isinstance(turn, KeyPresses):
            self.state = CallerState.PRESSING
            self._press(turn.digits, self._now_s)
        else:
            self.state = CallerState.TALKING
            self._at.offset = 0

    def _talk(self, digit: str) -> CallerStep:
        turn = self._turns[self._at.turn]
        assert isinstance(turn, Utterance)  # TALKING is entered with an utterance only
        start = self._at.offset
        pcm = turn.pcm[start : start + FRAME_SAMPLES]
        self._at.offset += FRAME_SAMPLES
        is_last = self._at.offset >= len(turn.pcm)
        if is_last:
            pcm = np.pad(pcm, (0, FRAME_SAMPLES - len(pcm)))
            self._next_turn()
        return CallerStep(
            pcm=pcm,
            digit=digit,
            began=turn if start == 0 else None,
            ended=turn if is_last else None,
        )

    def _next_turn(self) -> None:
        self._at.turn += 1
        self._at.waiting_since = self._at.step
        is_over = self._at.turn >= len(self._turns)
        self.state = CallerState.DONE if is_over else CallerState.WAITING
        self._agent = _Agent(is_queue_empty=self._agent.is_queue_empty)

    def _press(self, digits: str, at_s: float) -> None:
        times = (at_s + index * _DIGIT_SPACING_S for index in range(len(digits)))
        self._at.pressed = sorted([*self._at.pressed, *zip(times, digits, strict=True)])

    def _due_digit(self) -> str:
        if self._at.pressed and self._at.pressed[0][0] <= self._now_s:
            return self._at.pressed.pop(0)[1]
        return ""

    def _hangs_up(self) -> bool:
        script = self._script
        if self._now_s >= script.max_duration_s:
            return True
        if script.hangup_at_s is not None:
            return self._now_s >= script.hangup_at_s
        if self.state is not CallerState.DONE or self._at.pressed:
            return False
        if self._agent.has_spoken:
            return self._has_finished() and self._quiet_s() >= script.linger_s
        return self._since_s(self._at.waiting_since) >= script.patience_s
