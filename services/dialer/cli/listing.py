"""Lists as every command shows them: a table, or JSON, and how they go on."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.dialer.cli.failure import Exit
from services.dialer.cli.screen import Column
from services.dialer.cli.session import Session


@dataclass(frozen=True, slots=True)
class Listing:
    """One kind of list: what its entries are called in JSON, and how a table shows one."""

    name: str
    columns: Sequence[Column]
    row: Callable[[dict[str, Any]], Sequence[object]]

    async def show(
        self,
        args: argparse.Namespace,
        session: Session,
        path: str,
        wanted: Mapping[str, Any] | None = None,
    ) -> int:
        """Show what the dialer has at a path.

        Args:
            args: with the options of `add_paging`.
            session: asked, and written to.
            path: of the list.
            wanted: restricts it; what is None there does not.
        """
        found, following = await session.dialer.listed(
            path, wanted or {}, limit=args.limit, cursor=args.cursor
        )
        if session.screen.is_json:
            session.screen.document({self.name: found, "next": following})
            return Exit.DONE
        session.screen.table(self.columns, (self.row(entry) for entry in found))
        if following is not None:
            session.screen.tell(f"There are more: --cursor {following}")
        return Exit.DONE
