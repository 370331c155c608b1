"""PURE. Finished sentences in a worker's memory, bounded by their bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.agent.speech.speech_record import SpeechRecord

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class Entry:
    """A finished sentence.

    Attributes:
        record: its audio.
        is_own: the voice itself made it, not a makeshift one.
        is_shared: the other workers have it.
    """

    record: SpeechRecord
    is_own: bool = True
    is_shared: bool = False

    @property
    def size_bytes(self) -> int:
        """What it takes."""
        return len(self.record.ulaw)


class SpeechMemory(Generic[K]):
    """Sentences by key; the least recently used makes room.

    Args:
        most_bytes: kept in all; a single one of more than a quarter of it is not kept.
        on_bytes: told by how many bytes the memory grew or shrank.
    """

    def __init__(self, most_bytes: int, *, on_bytes: Callable[[int], None]) -> None:
        self._most_bytes = most_bytes
        self._on_bytes = on_bytes
        self._entries: OrderedDict[K, Entry] = OrderedDict()
        self.held_bytes = 0

    def get(self, key: K) -> Entry | None:
        """Return a sentence; it counts as used."""
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: K, entry: Entry) -> list[tuple[K, Entry]]:
        """Keep a sentence in place of the one before; return what had to make room."""
        before = self._entries.pop(key, None)
        if before is not None:
            self._grow(-before.size_bytes)
        if entry.size_bytes > self._most_bytes // 4:
            return [(key, entry)]
        self._entries[key] = entry
        self._grow(entry.size_bytes)
        forgotten = []
        while self.held_bytes > self._most_bytes:
            oldest, lost = self._entries.popitem(last=False)
            self._grow(-lost.size_bytes)
            forgotten.append((oldest, lost))
        return forgotten

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._grow(-self.held_bytes)

    def _grow(self, size_bytes: int) -> None:
        self.held_bytes += size_bytes
        self._on_bytes(size_bytes)
