"""What an order may ask about answering machines."""

from __future__ import annotations

from typing import Any

import pytest

from services.dialer.calls.machine import MachineBody, MachineDetection, MachineRule

URL = "https://voice.example.com/machine-detection?c=1"


def test_asynchronous_detection_has_a_url_and_synchronous_has_none() -> None:
    assert MachineRule(MachineDetection.DETECT).fields(URL) == {
        "machine_detection": "true",
        "machine_detection_url": URL,
        "machine_detection_method": "POST",
    }
    assert MachineRule(MachineDetection.HANGUP, is_sync=True).fields(URL) == {
        "machine_detection": "hangup"
    }


def test_nothing_is_said_of_machines_where_nobody_listens() -> None:
    assert MachineRule(MachineDetection.OFF, is_sync=True, time_ms=4000).fields(URL) == {}


def test_every_figure_goes_by_vobizs_name_for_it() -> None:
    body = MachineBody(
        mode=MachineDetection.DETECT,
        sync=True,
        time_ms=2000,
        max_speech_ms=1000,
        initial_silence_ms=2001,
        max_words=2,
        greeting_ms=1001,
    )
    rule = MachineRule.from_body(body)
    assert rule is not None
    assert rule.fields(URL) == {
        "machine_detection": "true",
        "machine_detection_time": 2000,
        "machine_detection_maximum_speech_length": 1000,
        "machine_detection_initial_silence": 2001,
        "machine_detection_maximum_words": 2,
        "machine_detection_initial_greeting": 1001,
    }


@pytest.mark.parametrize(
    ("kept", "rule"),
    [
        (None, None),
        ("hangup", MachineRule(MachineDetection.HANGUP)),
        ({"mode": "detect", "sync": True}, MachineRule(MachineDetection.DETECT, is_sync=True)),
    ],
)
def test_a_rule_is_read_from_what_was_kept(kept: Any, rule: MachineRule | None) -> None:
    assert MachineRule.from_json(kept) == rule


@pytest.mark.parametrize("kept", ["perhaps", 7, [], {"mode": "detect", "sync": "yes"}])
def test_what_is_no_rule_is_an_error(kept: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its text is pydantic's
        MachineRule.from_json(kept)
