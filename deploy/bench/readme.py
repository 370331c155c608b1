"""`python -m deploy.bench.readme`: write READMEs' figures from deploy/bench/results/bench.json.

Between two markers, which stay; a test fails when README and results differ.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.bench.report.readme_text import BEGIN, END, section
from deploy.local import install
from deploy.scale.measured import section as scale_section

README = install.ROOT / "README.md"
SCALE = install.ROOT / "deploy" / "scale" / "README.md"
RESULTS = install.ROOT / "deploy" / "bench" / "results"


def with_section(readme: str, text: str) -> str:
    """Return README with the text between its markers.

    Raises:
        ValueError: a marker is missing.
    """
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README has no {BEGIN} with an {END} after it")
    return f"{head}{BEGIN}\n{text}{END}{tail}"


def current() -> Iterator[tuple[Path, str]]:
    """Yield the path of each README with figures and the text it is to have."""
    document = json.loads((RESULTS / "bench.json").read_text())
    yield README, with_section(README.read_text(), section(document))
    yield SCALE, with_section(SCALE.read_text(), scale_section(document))


def main() -> int:
    """Write those that differ."""
    for path, text in current():
        if path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.relative_to(install.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
