"""What is done for one call by the clock: audio that is due, time that ran out, looks around."""

from __future__ import annotations

from collections.abc import Mapping

from services.agent.call.belongings import Belongings
from services.agent.call.performer import Performer

_LOOK_TICKS = 6
"""Between two looks of who watches a call."""
_SILENCE_TICKS = 48
"""Between two looks whether nobody speaks."""
_KEPT_TICKS = 90
"""Since a call was last taken down: with a look, twice in what gateways can say again."""


class Rounds:
    """One call's.

    Args:
        own: the call's.
        performer: does what is due.
    """

    def __init__(self, own: Belongings, performer: Performer) -> None:
        self._performer = performer
        self._errands = performer.errands
        self._wits = performer.faculties.wits
        self._session = own.session
        self._playout = own.session.playout
        self._line = own.line
        self._witnesses = own.witnesses
        self._keeper = own.keeper
        self._guard = own.guard
        self._quiet = own.quiet
        self._log = own.log
        self._clock = own.parts.clock
        self._metrics = own.parts.metrics
        self._send_timeout_s = own.parts.send_timeout_s
        self._ticks = self._kept_tick = 0
        self._variables: Mapping[str, str] = {}

    def on_kept(self) -> None:
        """The call was taken down."""
        self._kept_tick = self._ticks

    def on_tick(self) -> None:
        """Write what is due and do what time alone brings; called each 20 ms by the wheel.

        What is due is written at its time; all else can wait for every other turn.
        """
        performer = self._performer
        if performer.is_over or performer.is_catching_up or self._errands.is_away:
            return
        self._ticks += 1
        now_s = self._clock.now_s()
        is_due = now_s >= self._playout.next_s
        if self._ticks % 2 and not is_due:
            return
        with self._guard:
            if is_due:
                performer.play_due()
            if self._ticks % 2:
                return
            variables = self._wits.settled_variables
            if variables is not self._variables and variables != self._variables:
                self._variables = variables  # a tool has begun or ended
                self._keeper.touch()
            if self._ticks % _LOOK_TICKS == 0 and not self._look(now_s):
                return
            performer.perform(self._session.on_tick(now_s))

    def _look(self, now_s: float) -> bool:
        """Do what a tenth of a second is soon enough for; False when the link is cut by it."""
        if self._witnesses.recorder is not None:
            self._witnesses.recorder.flush_if_due(now_s)
        link = self._line.link
        if link is not None and link.stuck_s() > self._send_timeout_s:
            self._metrics.send_timeouts.inc()
            link.abort()
            return False
        if self._witnesses.live.is_watched:
            self._witnesses.show(self._session, now_s)
        if self._ticks - self._kept_tick >= _KEPT_TICKS:
            self._kept_tick = self._ticks
            self._keeper.touch()
        if self._ticks % _SILENCE_TICKS == 0:
            self._look_at_silence(now_s)
        return True

    def _look_at_silence(self, now_s: float) -> None:
        session = self._session
        is_audible = session.playout.is_audible(now_s)
        if self._quiet.look(session.state, now_s, is_audible=is_audible):
            self._metrics.dead_air.inc()
            self._log.warning("dead_air", state=session.state.value)
