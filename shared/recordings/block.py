"""PURE. A block: about a second of a call as one worker saw it, and what it has learned since.

Places are samples from the call's first caller audio on, 8000 a second, a byte each. The caller's
pieces have their place. What the agent says comes in runs, audio that the network plays without a
break: a piece has its place in the run, and where the run lies is told apart, because a later block
may know it better. A run may also end before its audio does, where it was cleared.

Bytes: `PRB2`, the CRC-32 of all that follows (4, big-endian), the header's length (4), the header
(JSON), the audio of all pieces in their order. What a dying disk has left of a block is told from a
good one. `PRB1`, which is read still, has no such place: its header holds the audio's CRC-32.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from shared.protocol.call import CallId
from shared.recordings.errors import MalformedBlock

_MAGIC, _MAGIC_1 = b"PRB2", b"PRB1"
_MOST_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Facts:
    """What each block says of its recording.

    Attributes:
        call_id: of the call.
        epoch: of the worker's link.
        worker_id: who writes.
        agent: who talks.
        zero_unix_s: when place 0 was, by the wall clock; workers that know it of another say the
            same.
        keep_s: how long the recording is kept from the call's end on; None: until it is deleted.
    """

    call_id: CallId
    epoch: int
    worker_id: str
    agent: str
    zero_unix_s: float
    keep_s: float | None


@dataclass(frozen=True, slots=True)
class CallerPiece:
    """The caller's audio from a place on."""

    place: int
    ulaw: bytes


@dataclass(frozen=True, slots=True)
class AgentPiece:
    """The agent's audio: which run, and from which of its samples on."""

    run: int
    offset: int
    ulaw: bytes


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where a run begins, and where it was cut off; None: it was heard to its end."""

    start: int
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """One block.

    Attributes:
        facts: of its recording.
        number: from 0 on, for each epoch.
        caller: pieces, in the order they came; a later one counts where two have one place.
        agent: pieces likewise.
        runs: places of runs, new or known better than before.
        cuts: places where all that was playing was cut off, also what another worker had sent.
        is_last: this worker writes no more of the call.
        stopped: why the recording was given up before the call's end; empty: it was not.
    """

    facts: Facts
    number: int
    caller: tuple[CallerPiece, ...] = ()
    agent: tuple[AgentPiece, ...] = ()
    runs: Mapping[int, RunPlace] = field(default_factory=dict)
    cuts: tuple[int, ...] = ()
    is_last: bool = False
    stopped: str = ""


def serialize_block(block: Block) -> bytes:
    """Return a block as bytes."""
    audio = b"".join([*(p.ulaw for p in block.caller), *(p.ulaw for p in block.agent)])
    header = {
        "facts": asdict(block.facts),
        "number": block.number,
        "caller": [[p.place, len(p.ulaw)] for p in block.caller],
        "agent": [[p.run, p.offset, len(p.ulaw)] for p in block.agent],
        "runs": [[run, place.start, place.until] for run, place in block.runs.items()],
        "cuts": list(block.cuts),
        "is_last": block.is_last,
        "stopped": block.stopped,
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    body = b"".join([len(text).to_bytes(4, "big"), text, audio])
    return b"".join([_MAGIC, zlib.crc32(body).to_bytes(4, "big"), body])


def parse_block(data: bytes) -> Block:
    """Read a block.

    Raises:
        MalformedBlock: damaged, cut short, or something else.
    """
    is_first = data[:4] == _MAGIC_1
    body = data[4:] if is_first else data[8:]
    length = int.from_bytes(body[:4], "big")
    if not is_first and data[:4] != _MAGIC:
        raise MalformedBlock("not a block")
    if length > _MOST_HEADER_BYTES or len(body) < 4 + length:
        raise MalformedBlock("cut short")
    if not is_first and int.from_bytes(data[4:8], "big") != zlib.crc32(body):
        raise MalformedBlock("damaged")
    audio = body[4 + length :]
    try:
        header = json.loads(body[4 : 4 + length])
        if is_first and int(header["crc"]) != zlib.crc32(audio):
            raise MalformedBlock("damaged audio")
        return _read(header, audio)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise MalformedBlock("a header that can't be read") from exc


def _read(header: dict[str, Any], audio: bytes) -> Block:
    caller, agent, at = [], [], 0
    for place, length in header["caller"]:
        caller.append(CallerPiece(_number(place), audio[at : at + _number(length)]))
        at += length
    for run, offset, length in header["agent"]:
        piece = AgentPiece(_number(run), _number(offset), audio[at : at + _number(length)])
        agent.append(piece)
        at += length
    if at != len(audio):
        raise MalformedBlock("more or less audio than its pieces have")
    facts = header["facts"]
    return Block(
        facts=Facts(
            CallId(str(facts["call_id"])),
            int(facts["epoch"]),
            str(facts["worker_id"]),
            str(facts["agent"]),
            float(facts["zero_unix_s"]),
            None if facts["keep_s"] is None else float(facts["keep_s"]),
        ),
        number=int(header["number"]),
        caller=tuple(caller),
        agent=tuple(agent),
        runs={
            int(run): RunPlace(_number(start), None if until is None else _number(until))
            for run, start, until in header["runs"]
        },
        cuts=tuple(_number(place) for place in header["cuts"]),
        is_last=bool(header["is_last"]),
        stopped=str(header["stopped"]),
    )


def _number(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise MalformedBlock("not a place")
    return value
