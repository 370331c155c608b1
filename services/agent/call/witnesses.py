"""All who take note of one call: its account, its trace, its watchers, its recording.

Here is what more than one of them is to know, each in its own words; what one alone wants is told
to that one.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.agent.call.account import Account
from services.agent.call.live import LiveView, Moment
from services.agent.call.trace import CallTrace
from services.agent.providers import base
from services.agent.recording.recorder import Recorder
from services.agent.turn import events as ev
from services.agent.turn.session import Session


@dataclass(frozen=True, slots=True)
class Witnesses:
    """One call's.

    Attributes:
        account: figures and record.
        trace: spans.
        live: whoever watches.
        recorder: what both sides hear; None: nobody records.
    """

    account: Account
    trace: CallTrace
    live: LiveView
    recorder: Recorder | None

    def on_keys(self, keys: str, *, by_agent: bool = False) -> None:
        """Keys were pressed."""
        self.account.on_keys(keys, by_agent=by_agent)
        self.live.tell("keys", who="agent" if by_agent else "caller", text=keys)

    def on_played(self, name: str) -> None:
        """A checkpoint has come back."""
        self.account.on_mark("checkpoint", name=name)
        if self.recorder is not None:
            self.recorder.on_played(name)

    def on_cleared(self) -> None:
        """The network has cleared what was queued."""
        self.account.on_mark("cleared")
        if self.recorder is not None:
            self.recorder.on_cleared()

    def on_note(self, piece: base.ToolUsed | base.Usage) -> None:
        """A tool was used, or something of a provider's that costs money."""
        self.account.on_note(piece)
        if isinstance(piece, base.ToolUsed):
            took_ms = round(piece.seconds * 1000, 1)
            self.live.tell("tool", name=piece.name, outcome=piece.outcome, took_ms=took_ms)

    def on_measure(self, measure: ev.Measure) -> None:
        """A time was measured."""
        self.account.on_measure(measure)
        self.live.on_measure(measure)

    def show(self, session: Session, now_s: float) -> None:
        """Tell who watches how the conversation stands; to be called while somebody does."""
        being_said = session.being_said(now_s)
        self.live.look(Moment(session.state.value, session.transcript, being_said))
