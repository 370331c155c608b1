"""PURE. A conversation as text, for another worker to go on with.

What the caller heard is history; what they were not told yet is said again, a sentence at a time,
from the first one that they are not known to have heard. An answer that was still being thought is
asked for once more. Times are those of the wall, the only clock that two workers share.

A caller's utterance whose words are not settled is not here: its sound is heard again, see
`Session.open_since_s`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeAlias

from services.agent.providers import base
from services.agent.turn import events as ev
from services.agent.turn.reply import Deed
from services.agent.turn.states import State
from shared.protocol.call import EndReason

VERSION: Final = 2
_READABLE: Final = (1, VERSION)
"""Calls move from old workers to new ones while these are rolled out."""
_Json: TypeAlias = dict[str, Any]


class BadSnapshot(ValueError):
    """A text that is no snapshot of this version."""


@dataclass(frozen=True, slots=True)
class Unsaid:
    """A sentence that the caller is not known to have heard.

    Should a checkpoint of its name still come back, it was.
    """

    name: str
    text: str
    is_interruptible: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer in hand, see Reply. `heard` are the texts that were heard of it."""

    answers: base.Heard | None
    heard: tuple[str, ...] = ()
    heard_s: float = 0.0
    at_ms: int | None = None
    latency_ms: Mapping[str, float] | None = None
    unsaid: tuple[Unsaid, ...] = ()
    steps: tuple[tuple[str | None, Deed], ...] = ()
    is_read: bool = False
    is_own: bool = False
    has_used_tools: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole conversation.

    Attributes:
        state: what it was doing.
        generation: the newest answer's.
        begun_wall_s: when the caller's first media came, seconds of the Unix epoch; None: it never.
        history: as heard.
        transcript: as heard.
        expectation: what was expected of the caller.
        silences: of the caller, in a row.
        unanswered: the caller's words that wait for an answer...
        unanswered_ms: ...when they began...
        keys: ...and keys that do.
        answer: the one in hand, None where there was none that is wanted for certain.
        is_machine: a machine has answered.
        has_apologised: nothing works, and the caller was told.
        is_gathering: away for keys, not for a transfer.
    """

    state: State
    generation: int = 0
    begun_wall_s: float | None = None
    history: tuple[base.Message, ...] = ()
    transcript: tuple[Mapping[str, Any], ...] = ()
    expectation: base.Expectation = field(default_factory=base.Expectation)
    silences: int = 0
    unanswered: str = ""
    unanswered_ms: int = 0
    keys: str = ""
    answer: Answer | None = None
    is_machine: bool = False
    has_apologised: bool = False
    is_gathering: bool = False


def write_snapshot(snapshot: Snapshot) -> _Json:
    """Return a snapshot ready for JSON; nothing in it is shared with what goes on changing."""
    answer = snapshot.answer
    data = {
        name: getattr(snapshot, name)
        for name in (
            *("state", "generation", "begun_wall_s", "silences", "unanswered", "unanswered_ms"),
            *("keys", "is_machine", "has_apologised", "is_gathering"),
        )
    }
    return data | {
        "version": VERSION,
        "history": [
            [one.role, one.text, one.is_interrupted, one.heard_s] for one in snapshot.history
        ],
        "transcript": [dict(entry) for entry in snapshot.transcript],
        "expectation": {  # not asdict, which copies each of some hundred phrases
            "phrases": list(snapshot.expectation.phrases),
            "digits": snapshot.expectation.digits,
            "silence_s": snapshot.expectation.silence_s,
        },
        "answer": None if answer is None else _write_answer(answer),
    }


def read_snapshot(data: Any) -> Snapshot:
    """Read what `write_snapshot` wrote.

    Raises:
        BadSnapshot: of another version, or damaged.
    """
    try:
        if data["version"] not in _READABLE:
            raise BadSnapshot(f"version {data['version']}")
        expectation = data["expectation"]
        answer = data["answer"]
        begun = data["begun_wall_s"]
        return Snapshot(
            state=State(data["state"]),
            generation=int(data["generation"]),
            begun_wall_s=None if begun is None else float(begun),
            history=tuple(base.Message(*entry) for entry in data["history"]),
            transcript=tuple(dict(entry) for entry in data["transcript"]),
            expectation=base.Expectation(
                **(expectation | {"phrases": tuple(expectation["phrases"])})
            ),
            silences=int(data["silences"]),
            unanswered=str(data["unanswered"]),
            unanswered_ms=int(data["unanswered_ms"]),
            keys=str(data["keys"]),
            answer=None if answer is None else _read_answer(answer),
            is_machine=bool(data["is_machine"]),
            has_apologised=bool(data["has_apologised"]),
            is_gathering=bool(data["is_gathering"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as exc:
        raise BadSnapshot(str(exc)) from exc


def _write_answer(answer: Answer) -> _Json:
    return {
        "answers": _write_heard(answer.answers),
        "heard": list(answer.heard),
        "heard_s": answer.heard_s,
        "at_ms": answer.at_ms,
        "latency_ms": dict(answer.latency_ms or {}),
        "unsaid": [[one.name, one.text, one.is_interruptible] for one in answer.unsaid],
        "steps": [[after, _write_deed(deed)] for after, deed in answer.steps],
        "is_read": answer.is_read,
        "is_own": answer.is_own,
        "has_used_tools": answer.has_used_tools,
    }


def _read_answer(data: _Json) -> Answer:
    return Answer(
        answers=_read_heard(data["answers"]),
        heard=tuple(data["heard"]),
        heard_s=float(data["heard_s"]),
        at_ms=data["at_ms"],
        latency_ms=dict(data["latency_ms"]),
        # Version 1 named the checkpoint too, which begins with the sentence's name.
        unsaid=tuple(Unsaid(*entry[:3]) for entry in data["unsaid"]),
        steps=tuple((after, _read_deed(deed)) for after, deed in data["steps"]),
        is_read=bool(data["is_read"]),
        is_own=bool(data["is_own"]),
        has_used_tools=bool(data["has_used_tools"]),
    )


_HEARD: Final = {
    kind.__name__: kind for kind in (base.Words, base.Digit, base.Digits, base.Silence)
}


def _write_heard(heard: base.Heard | None) -> _Json | None:
    return None if heard is None else {"kind": type(heard).__name__, **asdict(heard)}


def _read_heard(data: _Json | None) -> base.Heard | None:
    if data is None:
        return None
    fields = dict(data)
    heard: base.Heard = _HEARD[fields.pop("kind")](**fields)
    return heard


def _write_deed(deed: Deed) -> _Json:
    return {"kind": type(deed).__name__, **asdict(deed)}


def _read_deed(data: _Json) -> Deed:
    match data["kind"]:
        case "SendKeys":
            return ev.SendKeys(data["digits"])
        case "LeaveToGather":
            return ev.LeaveToGather(base.GatherDigits(**data["request"]))
        case "LeaveToTransfer":
            return ev.LeaveToTransfer(data["to"])
        case "End":
            return ev.End(EndReason(data["reason"]), by_agent=bool(data["by_agent"]))
        case _:
            raise BadSnapshot(f"deed {data['kind']}")
