"""PURE. How far one call's messages were dealt with, so that another worker deals with the rest.

What the caller says is dealt with once its words are settled: until then another worker has to hear
it again, from its beginning. Numbers are the sender's timestamps, or its counts where it has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.protocol.telephony import Media

_BEFORE_ONSET_S = 0.4
_FRAME_MS = 20
_RING_MS = 15_000
"""No gateway sends older pieces again: what seems to be one is of a stream that counts anew."""
_EPOCH_MS = 100_000_000_000


class Consumed:
    """One call's.

    Args:
        kept: what another worker's `kept` returned; None: nothing was dealt with before.
    """

    def __init__(self, kept: Mapping[str, Any] | None = None) -> None:
        kept = kept or {}
        self._stream_id: str | None = kept.get("stream_id")
        self._until_ms: int | None = kept.get("media_ms")
        self._key_ms: int | None = kept.get("key_ms")
        self._before_ms: int | None = self._until_ms
        self._key_before_ms: int | None = self._key_ms
        self._newest_ms: int | None = None
        self._newest_s = 0.0

    @property
    def stream_id(self) -> str | None:
        """The newest stream that is known."""
        return self._stream_id

    def is_old_key(self) -> bool:
        """Whether another worker has dealt with a key that comes now."""
        if self._key_before_ms is None or self._newest_ms is None:
            return False
        return self._newest_ms <= self._key_before_ms

    def is_old(self, media: Media, now_s: float) -> bool:
        """Take a piece, each one once; say whether another worker has dealt with it.

        Those of another stream are new.
        """
        stream_id, at_ms = media.stream_id, mark_of(media)
        if stream_id is not None and stream_id != self._stream_id:
            if self._stream_id is not None:
                self._before_ms = self._key_before_ms = self._until_ms = self._key_ms = None
            self._stream_id = stream_id
        if at_ms is None:
            return False
        self._newest_ms, self._newest_s = at_ms, now_s
        return self._before_ms is not None and 0 <= self._before_ms - at_ms <= _RING_MS

    def on_link(self) -> None:
        """A gateway has come anew and may send again what is dealt with already.

        Nothing is old if the sender's times are not the wall's: they may begin anew themselves.
        """
        if self._newest_ms is not None and self._newest_ms > _EPOCH_MS:
            self._before_ms, self._key_before_ms = self._newest_ms, self._key_ms

    def on_key(self) -> None:
        """A key was dealt with."""
        self._key_ms = self._newest_ms

    def kept(self, open_since_s: float | None) -> dict[str, Any]:
        """Return it ready for JSON.

        Args:
            open_since_s: when the caller began to say what is not settled; None: all is.
        """
        until_ms = self._newest_ms
        if until_ms is not None and open_since_s is not None:
            back_s = max(0.0, self._newest_s - open_since_s + _BEFORE_ONSET_S)
            until_ms -= round(back_s * 1000)
        if until_ms is None or (self._until_ms is not None and until_ms < self._until_ms):
            until_ms = self._until_ms
        self._until_ms = until_ms
        return {"stream_id": self._stream_id, "media_ms": until_ms, "key_ms": self._key_ms}


def mark_of(media: Media) -> int | None:
    """Return where a piece has its place, in ms; None where its sender counts nothing."""
    if media.timestamp_ms is not None:
        return media.timestamp_ms
    return media.chunk * _FRAME_MS if media.chunk is not None else None
