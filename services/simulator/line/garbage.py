"""PURE. Messages that no cloud should send: broken, cut, oversized, misordered, nonsensical."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from services.simulator.calls.chance import Chance

_OVERSIZED_CHARS = 200_000
_GOOD_MEDIA = {
    "sequenceNumber": 7,
    "event": "media",
    "media": {"track": "inbound", "timestamp": "1", "chunk": 7, "payload": "//8="},
}


def garbage(rng: Chance, count: int) -> Iterator[str]:
    """Yield `count` messages, a fiftieth of them longer than any receiver should take."""
    for index in range(count):
        maker = _oversized if index % 50 == 49 else rng.choice(_MAKERS)
        yield maker(rng)


def _not_json(rng: Chance) -> str:
    return "".join(chr(rng.randrange(32, 0x2FF)) for _ in range(rng.randrange(200)))


def _cut(rng: Chance) -> str:
    text = json.dumps(_GOOD_MEDIA)
    return text[: rng.randrange(len(text))]


def _bad_base64(rng: Chance) -> str:
    return json.dumps(_GOOD_MEDIA | {"media": {"payload": "*" * rng.randrange(1, 300)}})


def _wrong_types(rng: Chance) -> str:
    odd: object = rng.choice([None, [], {}, -1, 1e308, True, "x" * 5000])
    return json.dumps({"event": rng.choice(["media", "start", "dtmf", odd]), "media": odd})


def _unknown_event(rng: Chance) -> str:
    return json.dumps({"event": f"unheardOf{rng.randrange(10**6)}", "streamId": "elsewhere"})


def _second_start(rng: Chance) -> str:
    ids = {"callId": f"not-this-call-{rng.randrange(10**6)}", "streamId": "not-this-stream"}
    return json.dumps({"event": "start", "sequenceNumber": 0, "start": ids})


def _ack_of_nothing(rng: Chance) -> str:
    event = rng.choice(["playedStream", "clearedAudio"])
    return json.dumps({"event": event, "name": f"never-sent-{rng.randrange(10**6)}"})


def _deep(rng: Chance) -> str:
    depth = rng.randrange(2, 5000)
    return "[" * depth + "]" * depth


def _oversized(rng: Chance) -> str:
    return json.dumps(_GOOD_MEDIA | {"padding": chr(rng.randrange(97, 123)) * _OVERSIZED_CHARS})


_MAKERS: tuple[Callable[[Chance], str], ...] = (
    _not_json,
    _cut,
    _bad_base64,
    _wrong_types,
    _unknown_event,
    _second_start,
    _ack_of_nothing,
    _deep,
)
