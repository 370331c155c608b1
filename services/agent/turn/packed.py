"""PURE. A list that grows as long as a call lasts, in few bytes: old entries as compressed JSON.

What a call keeps for its record is written once and read seldom: at a turn, at a snapshot, at the
end. As dictionaries a turn and its marks are two thousand bytes in thirty objects, in pages that
nothing else can use again; packed they are a few hundred, and nothing of them is lost.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar, cast

import msgspec

_Entry = TypeVar("_Entry")
_MOST_RECENT = 2
_PAGE_BYTES = 2048
"""Of JSON; a page of twice the size is a sixth smaller for its entries, and waits twice as long."""


class Packed(Generic[_Entry]):
    """Entries in order, each of what JSON knows: strings, numbers, lists, dictionaries by name.

    The newest is held as it was given and may be changed in place. All others are made anew
    whenever they are read: to change one of them changes nothing.
    """

    def __init__(self, entries: Iterable[_Entry] = ()) -> None:
        self._pages: list[bytes] = []
        self._page = bytearray()
        self._recent: list[_Entry] = []
        self._count = 0
        for entry in entries:
            self.append(entry)

    def append(self, entry: _Entry) -> None:
        """Add an entry at the end."""
        self._recent.append(entry)
        self._count += 1
        if len(self._recent) > _MOST_RECENT:
            self._pack(self._recent.pop(0))

    def _pack(self, entry: _Entry) -> None:
        if self._page:
            self._page += b","
        self._page += msgspec.json.encode(entry)
        if len(self._page) >= _PAGE_BYTES:
            self._pages.append(zlib.compress(self._page))
            self._page = bytearray()

    @property
    def newest(self) -> _Entry | None:
        """The last entry, None while there is none."""
        self._unpack_if_none_is_recent()
        return self._recent[-1] if self._recent else None

    def pop(self) -> _Entry:
        """Remove and return the last entry; there must be one."""
        self._unpack_if_none_is_recent()
        self._count -= 1
        return self._recent.pop()

    def _unpack_if_none_is_recent(self) -> None:
        """Nobody takes back more than the last words, but who does gets all of them."""
        if not self._recent:
            self._recent, self._pages, self._page = list(self), [], bytearray()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[_Entry]:
        for page in self._pages:
            yield from self._read(zlib.decompress(page))
        yield from self._read(self._page)
        yield from self._recent

    def _read(self, page: bytes | bytearray) -> list[_Entry]:
        return cast("list[_Entry]", msgspec.json.decode(b"[" + page + b"]"))
