"""PURE. The short way of a frame: what nearly every read of a call takes, and nothing unusual.

Between two frames of one call a gateway handles a hundred of other calls, and finds its own code
and data out of the processor's caches: there each function called and each object touched costs
several times what it costs in a loop of its own. So what a read brings nearly always is dealt with
here, in one function each way; it is written on as the very bytes that were read:

- what the worker's frames need towards the caller is to be whole, text and no `stop`. A server's
  frames bear no mask on either socket, so all of a read pass in one write;
- what the caller's audio needs towards the worker is to be looked at behind its mask: a text that
  is none would end every link that it was said on. It passes with its mask on, as a client's
  frames must have one on either socket, and so it is remembered.

Anything else, and all that comes while there is no peer, or one that does not keep up, is left
where it is: the general way (frame_socket.py, bridge.py, caller.py) does with it what it does with
all frames. A test feeds both ways the same bytes, and no difference may be seen.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Protocol

from services.gateway.media.relay import FloodGate
from services.gateway.media.replay import CallerMessages
from services.gateway.media.tally import Tally
from services.gateway.wire.frames import Unmask

_HEAD = Struct(">HH")
_MASKED_HEAD = Struct(">HH4s")
_TEXT = 0x817E
_MASKED_TEXT = 0x81FE
"""A whole text message whose length stands in two bytes, as that of 20 ms of audio does."""

_SHORTEST = 126
"""Of lengths in two bytes; a shorter one written so is nobody's usual frame."""

_EVENT = b'"event"'
_IS_MEDIA = (b':"media"', b': "media"')
_STOP = b'"stop"'

Write = Callable[[bytes], object]


class ToCaller:
    """A worker's frames on their way to the caller. `write` is None while they can't go short."""

    __slots__ = ("_tally", "write")

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self.write: Write | None = None

    def take(self, data: bytes) -> int:
        """Pass on what stands first in a read that begins with a frame; return how many bytes."""
        if self.write is None or _STOP in data:
            return 0
        at = frames = 0
        size = len(data)
        while size - at > _SHORTEST:
            first, length = _HEAD.unpack_from(data, at)
            end = at + 4 + length
            if first != _TEXT or end > size or length < _SHORTEST:
                break
            if not data[at + 4 : end].isascii():
                break
            at = end
            frames += 1
        if frames:
            self.write(data if at == size else data[:at])
            self._tally.add(frames)
        return at


class Present(Protocol):
    """Who wants to know when a caller last brought a frame."""

    last_frame_s: float


class ToWorker:
    """A caller's audio on its way to a worker, remembered for another one.

    Attributes:
        write: None while there is no worker that takes frames at once.
        is_begun: whether the present stream's first frame was seen, from which more is learnt.
    """

    __slots__ = (
        "_caller",
        "_gate",
        "_messages",
        "_most_bytes",
        "_now_s",
        "_on_many",
        "_tally",
        "_unmask",
        "is_begun",
        "write",
    )

    def __init__(
        self,
        caller: Present,
        gate: FloodGate,
        messages: CallerMessages,
        tally: Tally,
        *,
        most_bytes: int,
        now_s: Callable[[], float],
        unmask: Unmask,
        on_many: Callable[[], object],
    ) -> None:
        self._caller = caller
        self._gate = gate
        self._messages = messages
        self._tally = tally
        self._most_bytes = most_bytes
        self._now_s = now_s
        self._unmask = unmask
        self._on_many = on_many
        self.write: Write | None = None
        self.is_begun = False

    def take(self, data: bytes) -> int:
        """Pass on what stands first in a read that begins with a frame; return how many bytes.

        `on_many` is called whenever the tally has handed on what it counted.
        """
        at, size = 0, len(data)
        while self.write is not None and self.is_begun and size - at > _SHORTEST:
            first, length, key = _MASKED_HEAD.unpack_from(data, at)
            begin = at + 8
            end = begin + length
            if first != _MASKED_TEXT or end > size or not _SHORTEST <= length <= self._most_bytes:
                break
            text = self._unmask(data[begin:end], key)
            named_at = text.find(_EVENT)
            # As peek_event reads it: the first `event` counts.
            if named_at < 0 or not text.startswith(_IS_MEDIA, named_at + 7) or not text.isascii():
                break
            now_s = self._now_s()
            if not self._gate.admits(now_s):
                break
            self._caller.last_frame_s = now_s
            frame = data if length + 8 == size else data[at:end]
            self._messages.pass_audio(frame, now_s)
            self.write(frame)
            if self._tally.add():
                self._on_many()
            at = end
        return at
