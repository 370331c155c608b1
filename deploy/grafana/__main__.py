"""Write dashboards/*.json: `python -m deploy.grafana`."""

from __future__ import annotations

import sys
from pathlib import Path

from deploy.grafana.boards import BOARDS
from deploy.grafana.draw import draw

FOLDER = Path(__file__).parent / "dashboards"


def files() -> dict[Path, str]:
    """Return each file with what it should hold."""
    return {FOLDER / f"{board.name}.json": draw(board) for board in BOARDS}


def main() -> int:
    """Write the files that differ, and remove those that no board makes."""
    FOLDER.mkdir(exist_ok=True)
    wanted = files()
    for path, text in wanted.items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.name}")
    for path in set(FOLDER.glob("*.json")) - set(wanted):
        path.unlink()
        print(f"removed {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
