from __future__ import annotations

from pathlib import Path

from deploy.bench.instructions import read_counts

_DUMP = """\
# callgrind format
desc: Trigger: {trigger}
events: Ir
fn=(1) work
10 600000
summary: {count}
"""


def test_each_dump_is_a_step_and_is_shared_out_over_its_frames(tmp_path: Path) -> None:
    dumps = (
        ("Client Request: parse media/200", 600_000),
        ("Program termination", 12_345),
        ("Client Request: voice activity, 8 at once/400", 4_000_000),
    )
    for number, (trigger, count) in enumerate(dumps, start=9):
        text = _DUMP.format(trigger=trigger, count=count)
        (tmp_path / f"counts.{number}").write_text(text)
    assert list(read_counts(tmp_path).items()) == [
        ("parse media", 3000),
        ("voice activity, 8 at once", 10_000),
    ]
