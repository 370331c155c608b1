"""services.gateway.calls.token_note."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.calls.token_note import read_note, write_note
from shared.protocol.call import CallId, Direction
from shared.protocol.worker import LinkRequest

CALL = CallId("c-1")
TEXTS = st.text(max_size=200)


@given(TEXTS, TEXTS, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=30))
def test_a_note_is_read_as_it_was_written_and_stays_short(
    agent: str, number: str, call_uuid: str, metadata: dict[str, str]
) -> None:
    request = LinkRequest(
        CALL,
        agent=agent,
        from_number=number,
        direction=Direction.OUTBOUND,
        metadata=metadata,
        call_uuid=call_uuid,
    )
    note = write_note(request, 1_790_921_506.4, is_whole=True)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", note)
    noted = read_note(note, CALL, "https://voice.example.com")
    assert noted is not None
    assert noted.made_unix_s == 1_790_921_506
    said = noted.request
    assert (said.agent, said.from_number, said.call_uuid) == (agent, number, call_uuid)
    assert said.metadata.items() <= metadata.items()
    assert len("".join(said.metadata)) <= 1024


def test_numbers_and_metadata_are_said_only_where_they_must_be() -> None:
    request = LinkRequest(
        CALL, from_number="+918000000001", to_number="+918000000002", metadata={"name": "Asha"}
    )
    noted = read_note(write_note(request, 0, is_whole=False), CALL, "")
    assert noted is not None
    assert noted.request == LinkRequest(CALL)


@given(st.text(max_size=80))
def test_no_text_raises(note: str) -> None:
    assert read_note(note, CALL, "") is None
