"""PURE. What one call came by at this gateway, for the line that is logged when it is over."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from shared.protocol.call import WorkerId


@dataclass(slots=True)
class Milestones:
    """Moments are monotonic seconds, None while they have not come.

    Attributes:
        held_s: the answer webhook came, or another gateway's call was taken over.
        answered_s: its XML was there.
        socket_s: the caller's socket was open.
        first_frame_s: the caller's first frame was here.
        first_sound_s: a worker's first message went to the caller.
        media_over_s: the last of the media.
        sockets: how often the caller's socket was opened.
        workers: who had the call, in order.
        reattachments: how often another worker's link took the place of a lost one.
        dropped: frames not passed on, by reason.
        failure: why no worker has the call any more; empty while one has.
        cause: Vobiz's code for the end, where this gateway was told.
    """

    held_s: float
    answered_s: float | None = None
    socket_s: float | None = None
    first_frame_s: float | None = None
    first_sound_s: float | None = None
    media_over_s: float | None = None
    sockets: int = 0
    workers: list[WorkerId] = field(default_factory=list)
    reattachments: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    failure: str = ""
    cause: str = ""
    is_told: bool = False

    def on_socket(self, now_s: float) -> None:
        """A socket of the caller's is open."""
        self.sockets += 1
        if self.socket_s is None:
            self.socket_s = now_s

    def on_worker(self, worker_id: WorkerId) -> None:
        """A worker has the call."""
        if self.workers[-1:] != [worker_id]:
            self.workers.append(worker_id)

    def line(self, now_s: float) -> dict[str, object]:
        """Return what to log: times in milliseconds since `held_s`, and nothing that never was."""
        moments = {
            "answered_ms": self.answered_s,
            "socket_ms": self.socket_s,
            "first_frame_ms": self.first_frame_s,
            "first_sound_ms": self.first_sound_s,
            "media_over_ms": self.media_over_s,
            "ended_ms": now_s,
        }
        said: dict[str, object] = {
            name: round((at_s - self.held_s) * 1000, 1)
            for name, at_s in moments.items()
            if at_s is not None
        }
        said["sockets"] = self.sockets
        said["worker_id"] = self.workers[-1] if self.workers else None
        if len(self.workers) > 1:
            said["workers"] = list(self.workers)
        said["reattachments"] = self.reattachments
        said["dropped_frames"] = sum(self.dropped.values())
        if self.dropped:
            said["dropped"] = dict(self.dropped)
        for name, word in (("cause", self.cause), ("failure", self.failure)):
            if word:
                said[name] = word
        return said
