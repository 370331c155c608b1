"""One call's way to its gateway: the newest link, what is written to it, the wait for another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.agent.recording.recorder import Recorder
from services.agent.turn.playout import Due
from services.agent.wire.link import Link
from shared.metrics.catalogue import AgentMetrics
from shared.protocol.telephony import OutboundCommand, StopStream, serialize_command
from shared.protocol.worker import LinkClose, LinkRequest


class Line:
    """One call's.

    Args:
        request: what the gateway told of the call with the first link.
        metrics: where what is written is counted.
        recorder: hears what is written; None: nobody records.

    Attributes:
        request: what was told with the newest link.
        link: the newest; None while there is none.
    """

    def __init__(
        self, request: LinkRequest, metrics: AgentMetrics, recorder: Recorder | None
    ) -> None:
        self.request = request
        self.link: Link | None = None
        self._recorder = recorder
        self._grace: asyncio.TimerHandle | None = None
        self._count_out = metrics.frames.labels("out").inc
        self._observe_lateness = metrics.pacing_lateness.observe
        self._count_underrun = metrics.underruns.inc

    # --- coming and going --------------------------------------------------------------------

    def attach(self, link: Link, request: LinkRequest) -> None:
        """Take a link, in place of the one before."""
        before, self.link = self.link, link
        self.request = request
        self.stop_waiting()
        if before is not None:
            before.close(LinkClose.SUPERSEDED)

    def forget(self, link: Link) -> bool:
        """A link is gone; return whether it was the newest."""
        if link is not self.link:
            return False
        self.link = None
        return True

    def wait(self, grace_s: float, on_nobody: Callable[[], None]) -> None:
        """Wait for another link; `on_nobody` is called if none comes in `grace_s`."""
        self._grace = asyncio.get_running_loop().call_later(grace_s, on_nobody)

    def stop_waiting(self) -> None:
        """Another link is there, or none is wanted any more."""
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def close(self, code: int, *, stops: StopStream | None = None) -> None:
        """Close the link, if there is one.

        Args:
            code: why.
            stops: written before.
        """
        link, self.link = self.link, None
        if link is None:
            return
        if stops is not None:
            link.send_text(serialize_command(stops))
        link.close(code)

    # --- writing -----------------------------------------------------------------------------

    def write(self, command: OutboundCommand, now_s: float) -> None:
        """Write one command; nothing happens while there is no link."""
        if self.link is not None:
            self.link.send_text(serialize_command(command))
            if self._recorder is not None:
                self._recorder.on_written((command,), now_s)

    def write_due(self, due: Due, now_s: float) -> None:
        """Write audio and checkpoints that are due, in one go; there has to be a link."""
        assert self.link is not None  # what is due is asked for with a link alone
        self.link.send_texts([serialize_command(command) for command in due.commands])
        if self._recorder is not None:
            self._recorder.on_written(due.commands, now_s)
        self._count_out(len(due.commands))
        for lateness_s in due.lateness_s:
            self._observe_lateness(lateness_s)
        if due.has_underrun:
            self._count_underrun()
