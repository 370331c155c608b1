"""shared.protocol.live."""

from __future__ import annotations

import pytest

from shared.protocol.live import ShownAgent, ShownCall, WorkerView

VIEW = WorkerView(
    (ShownAgent("default", "v1", "en", "Hello."),),
    (ShownCall("c", "default", "inbound", "+91800", "", "speaking", 3.2, 0.4, None, 2),),
)


def test_a_view_is_read_as_it_was_written() -> None:
    assert WorkerView.from_json(VIEW.to_json()) == VIEW
    assert WorkerView.from_json(WorkerView().to_json()) == WorkerView()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"agents":[{"x":1}],"calls":[]}', "nonsense"])
def test_what_is_no_view_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        WorkerView.from_json(text)
