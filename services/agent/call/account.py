"""What one call adds to the figures of its worker, and to its own record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from services.agent.after_call.record import RecordBuilder
from services.agent.call.trace import CallTrace
from services.agent.providers import base
from services.agent.turn import events as ev
from shared.metrics.catalogue import AgentMetrics
from shared.metrics.exemplars import observe
from shared.protocol.call import Direction, EndClass, EndReason
from shared.runtime.clock import Clock

_TALLIES = {
    ev.Tally.INTERRUPTION_COMMITTED: ("interruptions", "committed"),
    ev.Tally.INTERRUPTION_RESUMED: ("interruptions", "resumed"),
    ev.Tally.TURN_UNDERSTOOD: ("turns", "understood"),
    ev.Tally.TURN_NOT_UNDERSTOOD: ("turns", "not_understood"),
    ev.Tally.TURN_SILENCE: ("turns", "silence"),
    ev.Tally.TURN_DTMF: ("turns", "dtmf"),
    ev.Tally.SPECULATION_USED: ("speculations", "used"),
    ev.Tally.SPECULATION_DROPPED: ("speculations", "dropped"),
}


class Account:
    """Counts and measures for one call.

    Args:
        metrics: the worker's.
        clock: the worker's.
        record: takes what is kept of the call.
        trace: makes spans of it; None: nobody does.
        agent: whose call it is, as metrics name it.
        direction: of the call.
    """

    def __init__(
        self,
        metrics: AgentMetrics,
        clock: Clock,
        record: RecordBuilder,
        trace: CallTrace | None = None,
        *,
        agent: str = "default",
        direction: Direction = Direction.INBOUND,
    ) -> None:
        self._trace = trace
        self.milestones: dict[str, float] = {}
        self.last_turn_ms: float | None = None
        self.turns = 0
        self._metrics = metrics
        self._clock = clock
        self._record = record
        self._whose = agent, direction.value
        self._opened_s = clock.now_s()
        self._started_s: float | None = None

    # --- times -------------------------------------------------------------------------------

    def on_stream(self) -> None:
        """The caller's audio begins; only the first time counts."""
        if self._started_s is None:
            self._started_s = self._clock.now_s()
            self.milestones["stream_ms"] = self._since_opened_ms()

    @property
    def started_s(self) -> float | None:
        """When the caller's first audio came, monotonic; None while it has not."""
        return self._started_s

    @property
    def duration_s(self) -> float:
        """Seconds since the caller's first audio."""
        return self._clock.now_s() - self._started_s if self._started_s is not None else 0.0

    @property
    def at_ms(self) -> int:
        """The present as the record has it: milliseconds since the caller's first audio."""
        return round(self.duration_s * 1000)

    def _since_opened_ms(self) -> float:
        return round((self._clock.now_s() - self._opened_s) * 1000, 1)

    # --- what happens ------------------------------------------------------------------------

    def on_keys(self, keys: str, *, by_agent: bool = False) -> None:
        """Keys were pressed."""
        self._record.on_keys(keys, self.at_ms, by_agent=by_agent)

    def on_mark(self, kind: str, **more: str | float) -> None:
        """Something happened on the wire or to the call, see shared.protocol.call.Mark."""
        self._record.on_mark(kind, self.at_ms, **more)

    def on_note(self, piece: base.ToolUsed | base.Usage) -> None:
        """A tool was used, or something of a provider's that costs money."""
        self._record.on_note(piece, self.at_ms)
        match piece:
            case base.ToolUsed():
                self._metrics.tools.labels(piece.outcome).inc()
                if self._trace is not None:
                    self._trace.on_tool(piece)
            case base.Usage():
                pass  # the providers' chains count it, over all calls
            case _:
                assert_never(piece)

    def on_measure(self, measure: ev.Measure) -> None:
        """A time was measured."""
        self._record.on_measure(measure, self.at_ms)
        if measure.stage is ev.Stage.TOTAL:
            self.last_turn_ms = round(measure.seconds * 1000, 1)
        if self._trace is not None:
            self._trace.on_measure(measure)
        match measure.stage:
            case ev.Stage.BARGE_IN:
                self.on_mark("barge_in", ms=round(measure.seconds * 1000, 1))
                observe(self._metrics.barge_in, measure.seconds)
            case ev.Stage.CLEAR_ACK:
                self._metrics.clear_ack.observe(measure.seconds)
            case ev.Stage.FIRST_AUDIO:
                observe(self._metrics.first_audio, measure.seconds)
                self.milestones["first_audio_ms"] = self._since_opened_ms()
            case _:
                observe(self._metrics.turn.labels(measure.stage.value), measure.seconds)

    def on_count(self, tally: ev.Tally) -> None:
        """Something happened that is counted."""
        self._record.on_count(tally)
        if tally in (ev.Tally.TURN_UNDERSTOOD, ev.Tally.TURN_NOT_UNDERSTOOD):
            self.turns += 1
        match tally:
            case ev.Tally.CLEAR_TIMEOUT:
                self._metrics.clear_timeouts.inc()
            case ev.Tally.UNDERRUN:
                self._metrics.underruns.inc()
            case ev.Tally.FILLER:
                self._metrics.fillers.inc()
            case ev.Tally.APOLOGY:
                self._metrics.apologies.inc()
            case _:
                name, label = _TALLIES[tally]
                getattr(self._metrics, name).labels(label).inc()

    def on_part_failed(self, kind: str) -> None:
        """The ears, the brain or the voice of this call broke, every provider of theirs."""
        self._metrics.provider_errors.labels(kind).inc()

    # --- another worker's --------------------------------------------------------------------

    def kept(self) -> dict[str, Any]:
        """Return what another worker needs to go on with the account, ready for JSON."""
        wall_s = self._clock.wall().timestamp()
        begun_wall_s = None if self._started_s is None else wall_s - self.duration_s
        return {
            "milestones": dict(self.milestones),
            "begun_wall_s": begun_wall_s,
            "record": self._record.kept(),
            "span": self._trace.kept if self._trace is not None else "",
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Go on from what `kept` returned."""
        self.milestones.update(kept.get("milestones", {}))
        if (begun_wall_s := kept.get("begun_wall_s")) is not None:
            lasted_s = max(0.0, self._clock.wall().timestamp() - begun_wall_s)
            self._started_s = self._clock.now_s() - lasted_s
        self._record.restore(kept.get("record", {}))

    # --- the end -----------------------------------------------------------------------------

    def close(
        self, heard_s: Mapping[str, float], reason: EndReason, end_class: EndClass | None
    ) -> None:
        """Count the call.

        Args:
            heard_s: seconds of audio that each recogniser heard.
            reason: of the end.
            end_class: whose doing it was; None: the hang-up webhook knows better.
        """
        for provider, seconds in heard_s.items():
            self.on_note(base.Usage("stt", provider, "audio_seconds", round(seconds, 1)))
        counted = end_class or EndClass.CALLER
        self._metrics.calls.labels(*self._whose, counted.value, reason.value).inc()
        self._metrics.call_seconds.observe(self.duration_s)
