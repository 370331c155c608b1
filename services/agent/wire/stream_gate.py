"""PURE. Which messages of a media socket belong to this call's stream, and when a new one begins.

A caller's socket may be lost and come back, with a `start` and a new stream id or with media alone
(fact sheet, 5.7); both bring a new stream on the same link. The same messages in the middle of a
stream that flows are somebody's error: they must not make the agent begin again.
"""

from __future__ import annotations

from enum import StrEnum

from shared.protocol.call import CallId, StreamId

SILENT_S = 0.06
"""A stream that has brought nothing for so long may be followed by another."""


class Verdict(StrEnum):
    """What a message means for the stream."""

    BEGINS = "begins"
    GOES_ON = "goes_on"
    FOREIGN = "foreign"


class StreamGate:
    """One call's stream. `stream_id` is the newest, None while nobody has named it."""

    def __init__(self) -> None:
        self.stream_id: StreamId | None = None
        self._call_id: CallId | None = None
        self._has_begun = False
        self._is_new_link = False
        self._heard_s = 0.0

    def on_link(self) -> None:
        """Another link has taken the call over: a stream of its own will follow."""
        self._is_new_link = True

    def on_start(self, call_id: CallId | None, stream_id: StreamId | None, now_s: float) -> Verdict:
        """Judge a `start`."""
        if self._has_begun and not self._may_follow(call_id, stream_id, now_s):
            return Verdict.FOREIGN
        self._call_id = self._call_id or call_id
        return self._begin(stream_id, now_s)

    def _may_follow(self, call_id: CallId | None, stream_id: StreamId | None, now_s: float) -> bool:
        if call_id is not None and self._call_id is not None and call_id != self._call_id:
            return False
        if self._is_new_link:
            return True
        is_repeated = stream_id is not None and stream_id == self.stream_id
        return not is_repeated and now_s - self._heard_s >= SILENT_S

    def on_media(self, stream_id: StreamId | None, now_s: float) -> Verdict:
        """Judge a media message; one without a stream id belongs to the stream there is."""
        if stream_id == self.stream_id and self._has_begun and not self._is_new_link:
            self._heard_s = now_s
            return Verdict.GOES_ON
        if not self._has_begun or self._is_new_link:
            return self._begin(stream_id, now_s)
        if stream_id is not None and self.stream_id not in (None, stream_id):
            if now_s - self._heard_s < SILENT_S:
                return Verdict.FOREIGN
            return self._begin(stream_id, now_s)
        self._heard_s = now_s
        self.stream_id = self.stream_id or stream_id
        return Verdict.GOES_ON

    def _begin(self, stream_id: StreamId | None, now_s: float) -> Verdict:
        self._has_begun = True
        self._is_new_link = False
        self._heard_s = now_s
        self.stream_id = stream_id
        return Verdict.BEGINS
