"""Removes what a process that was killed while it wrote has left in a folder of recordings.

A file of a folder store is written beside its place, as `name#1`, and renamed when it is all there.
The store neither lists nor removes such a name. A bucket has its own rule for uploads that were not
ended.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

_UNFINISHED = re.compile(r".+#\d+")


def remove_leftovers(root: Path, before_unix_s: float) -> int:
    """Remove unfinished files last written before a time; return how many.

    Goes through every folder of the store (some 20 us each), so not on a loop that paces. A file
    that vanishes meanwhile, or can't be removed, is passed over; folders left empty go with it.
    """
    removed = 0
    for folder, _, names in os.walk(root):
        old = [name for name in names if _UNFINISHED.fullmatch(name)]
        gone = sum(_remove_if_old(Path(folder, name), before_unix_s) for name in old)
        removed += gone
        if gone:
            _remove_empty(Path(folder), root)
    return removed


def _remove_if_old(path: Path, before_unix_s: float) -> bool:
    with suppress(OSError):
        if path.lstat().st_mtime < before_unix_s:
            path.unlink()
            return True
    return False


def _remove_empty(folder: Path, root: Path) -> None:
    with suppress(OSError):  # of the first that is not empty
        while folder != root:
            folder.rmdir()
            folder = folder.parent
