"""OpenAI's Realtime API as a server on loopback: its wire format, its memory, and its troubles.

It hears by energy, knows a text by how long it takes to say, and speaks in tones. What it remembers
of the conversation can be read, so that a test sees what a model would have been given.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import count
from typing import Any, Self

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from shared.audio.g711 import decode_ulaw, encode_ulaw
from tests.support.callers import say
from tests.support.livekit_servers import spoken_samples, tone_of

_FRAME = 160
_LOUD = 600


@dataclass(frozen=True)
class Said:
    """What a response is made of: words, then calls of tools (name, arguments)."""

    text: str = ""
    calls: Sequence[tuple[str, str]] = ()


@dataclass
class Troubles:
    """What goes wrong; each once."""

    statuses: list[int] = field(default_factory=list)
    cut_after_chunks: list[int] = field(default_factory=list)
    cut_when_asked: int = 0
    failed_with: list[str] = field(default_factory=list)
    refused_with: list[str] = field(default_factory=list)
    refuses_session: bool = False
    garbage: int = 0
    is_silent: bool = False


@dataclass
class Item:
    """One item of the server's memory."""

    role: str
    text: str
    audio_ms: int = 0


class RealtimeStandIn:
    """Sessions over a WebSocket on loopback, while entered; on a free port unless told.

    Args:
        texts: what may be heard.
        answers: what is said, in turn; after that "Yes.".
        pace: seconds that a second of speech takes to come; 0: all at once.
        transcript_s: how late transcripts come.

    Attributes:
        received: client events but audio, in order, over all connections.
        sessions: as last updated, by connection.
        memory: items of the newest connection, by id, in order.
    """

    def __init__(
        self,
        texts: Sequence[str] = (),
        answers: Sequence[Said] = (),
        *,
        pace: float = 0.0,
        transcript_s: float = 0.0,
        port: int = 0,
    ) -> None:
        self.answers = deque(answers)
        self.pace = pace
        self.transcript_s = transcript_s
        self.troubles = Troubles()
        self.received: list[dict[str, Any]] = []
        self.sessions: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.connections: list[ServerConnection] = []
        self.memory: dict[str, Item] = {}
        self._lengths = {text: spoken_samples(say(text)) for text in texts}
        self._stack = contextlib.AsyncExitStack()
        self._changed = asyncio.Condition()
        self.port = port

    async def __aenter__(self) -> Self:
        server: Server = await self._stack.enter_async_context(
            serve(
                self._handle, "127.0.0.1", self.port, process_request=self._admit, compression=None
            )
        )
        self.port = next(iter(server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def remembered(self) -> list[tuple[str, str]]:
        return [(item.role, item.text) for item in self.memory.values()]

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.received]

    async def until(self, kind: str, times: int = 1) -> dict[str, Any]:
        """Wait until a client event of this kind has come so often."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: self.kinds().count(kind) >= times)
        return [event for event in self.received if event["type"] == kind][times - 1]

    async def cut(self) -> None:
        """Close the newest connection, as a network might."""
        await self.connections[-1].close(1011)

    async def has_remembered(self) -> None:
        """Wait until something of the caller's is an item."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: bool(self.memory))

    def heard(self, ulaw: bytes) -> str:
        length = spoken_samples(decode_ulaw(ulaw))
        if not length or not self._lengths:
            return ""
        return min(self._lengths, key=lambda text: abs(self._lengths[text] - length))

    async def remember(self, item_id: str, item: Item) -> None:
        async with self._changed:
            self.memory[item_id] = item
            self._changed.notify_all()

    async def note(self, event: dict[str, Any]) -> None:
        async with self._changed:
            self.received.append(event)
            self._changed.notify_all()

    def _admit(self, connection: ServerConnection, request: Any) -> Any:
        self.headers.append(dict(request.headers.raw_items()))
        self.paths.append(request.path)
        if self.troubles.statuses:
            return connection.respond(HTTPStatus(self.troubles.statuses.pop(0)), "no\n")
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        self.memory = {}
        self.connections.append(connection)
        session = _Session(self, connection)
        with contextlib.suppress(ConnectionClosed):
            await session.run()
        await session.stop()


class _Session:
    """One connection."""

    def __init__(self, server: RealtimeStandIn, connection: ServerConnection) -> None:
        self._server = server
        self._connection = connection
        self._numbers = count(1)
        self._buffer = bytearray()
        self._audio_item = ""
        self._quiet_frames = 0
        self._detection: dict[str, Any] | None = None
        self._response: asyncio.Task[None] | None = None
        self._late: set[asyncio.Task[None]] = set()

    def _new(self, kind: str) -> str:
        return f"{kind}_{next(self._numbers)}"

    async def send(self, kind: str, **fields: Any) -> None:
        await self._connection.send(
            json.dumps({"type": kind, "event_id": self._new("event"), **fields})
        )

    async def error(self, code: str, event: dict[str, Any]) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": "no"}
        await self.send("error", error={**error, "event_id": event.get("event_id")})

    async def run(self) -> None:
        await self.send("session.created", session={"type": "realtime"})
        if self._server.troubles.garbage:
            self._server.troubles.garbage -= 1
            await self._connection.send("{not json")
        async for text in self._connection:
            event = json.loads(text)
            if event["type"] == "input_audio_buffer.append":
                await self._on_audio(base64.b64decode(event["audio"]))
                continue
            await self._on_event(event)
            await self._server.note(event)

    async def stop(self) -> None:
        for task in (*self._late, *([self._response] if self._response else [])):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                await task

    async def _on_event(self, event: dict[str, Any]) -> None:
        memory = self._server.memory
        match event["type"]:
            case "session.update":
                await self._on_session(event)
            case "input_audio_buffer.commit":
                if self._buffer:
                    await self._commit()
                else:
                    await self.error("input_audio_buffer_commit_empty", event)
            case "conversation.item.create":
                self._remember(event)
            case "conversation.item.delete":
                if memory.pop(event["item_id"], None) is None:
                    await self.error("item_delete_invalid_item_id", event)
            case "conversation.item.truncate":
                item = memory.get(event["item_id"])
                if item is None or event["audio_end_ms"] > item.audio_ms:
                    await self.error("invalid_truncate", event)
                else:
                    item.text, item.audio_ms = "(cut)", event["audio_end_ms"]
            case "response.create":
                await self._on_create(event)
            case "response.cancel":
                if self._response is None or self._response.done():
                    await self.error("response_cancel_not_active", event)
                else:
                    self._response.cancel()

    async def _on_session(self, event: dict[str, Any]) -> None:
        if self._server.troubles.refuses_session:
            await self.error("invalid_value", event)
            return
        session = event["session"]
        self._server.sessions.append(session)
        self._detection = session["audio"]["input"]["turn_detection"]
        await self.send("session.updated", session=session)

    def _remember(self, event: dict[str, Any]) -> None:
        item, memory = event["item"], self._server.memory
        item_id = item.get("id") or self._new("item")
        if item["type"] == "function_call_output":
            memory[item_id] = Item("tool", item["output"])
        else:
            memory[item_id] = Item(item["role"], item["content"][0]["text"])
        if "previous_item_id" in event:
            order = [known for known in memory if known != item_id]
            order.insert(order.index(event["previous_item_id"]) + 1, item_id)
            self._server.memory = {known: memory[known] for known in order}

    # --- hearing -----------------------------------------------------------------------------

    async def _on_audio(self, ulaw: bytes) -> None:
        self._buffer += ulaw
        if self._detection is None:
            return
        most = self._detection.get("silence_duration_ms", 500) / 20
        for start in range(0, len(ulaw), _FRAME):
            pcm = decode_ulaw(ulaw[start : start + _FRAME]).astype(np.int32)
            is_loud = bool(np.abs(pcm).max() > _LOUD)
            self._quiet_frames = 0 if is_loud else self._quiet_frames + 1
            if is_loud and not self._audio_item:
                self._audio_item = self._new("item")
                await self.send("input_audio_buffer.speech_started", item_id=self._audio_item)
            elif self._audio_item and self._quiet_frames >= most:
                await self.send("input_audio_buffer.speech_stopped", item_id=self._audio_item)
                await self._commit()

    async def _commit(self) -> None:
        item_id, self._audio_item = self._audio_item or self._new("item"), ""
        text = self._server.heard(bytes(self._buffer))
        item = Item("user", text, len(self._buffer) // 8)
        self._buffer.clear()
        await self.send("input_audio_buffer.committed", item_id=item_id)
        await self._server.remember(item_id, item)
        session = self._server.sessions[-1]
        if session["audio"]["input"]["transcription"] is not None:
            self._start_late(self._transcribe(item_id, text))

    async def _transcribe(self, item_id: str, text: str) -> None:
        kind = "conversation.item.input_audio_transcription"
        await asyncio.sleep(self._server.transcript_s)
        if text:
            await self.send(f"{kind}.delta", item_id=item_id, delta=text[:3])
        await self.send(f"{kind}.completed", item_id=item_id, transcript=text, content_index=0)

    def _start_late(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    # --- speaking ----------------------------------------------------------------------------

    async def _on_create(self, event: dict[str, Any]) -> None:
        troubles = self._server.troubles
        if self._response is not None and not self._response.done():
            await self.error("conversation_already_has_active_response", event)
        elif troubles.refused_with:
            await self.error(troubles.refused_with.pop(0), event)
        elif troubles.cut_when_asked:
            troubles.cut_when_asked -= 1
            await self._server.note(event)
            await self._connection.close(1011)
        elif not troubles.is_silent:
            answers = self._server.answers
            said = answers.popleft() if answers else Said("Yes.")
            self._response = asyncio.ensure_future(self._respond(said))

    async def _respond(self, said: Said) -> None:
        response_id = self._new("resp")
        await self.send("response.created", response={"id": response_id, "status": "in_progress"})
        status, code = "completed", ""
        try:
            if self._server.troubles.failed_with:
                status, code = "failed", self._server.troubles.failed_with.pop(0)
            elif said.text:
                await self._speak(response_id, said.text)
            for name, arguments in said.calls:
                await self._call(response_id, name, arguments)
        except asyncio.CancelledError:
            status = "cancelled"
        error = {"type": "server_error", "code": code}
        usage = {"input_tokens": 20, "output_tokens": 10, "total_tokens": 30}
        await self.send(
            "response.done",
            response={
                "id": response_id,
                "status": status,
                "status_details": {"type": status, "error": error} if code else None,
                "usage": {**usage, "input_token_details": {"cached_tokens": 5}},
            },
        )

    async def _speak(self, response_id: str, text: str) -> None:
        item_id = self._new("item")
        ids = {"response_id": response_id, "item_id": item_id}
        item = Item("assistant", "")
        self._server.memory[item_id] = item
        await self.send("response.output_item.added", response_id=response_id, item={"id": item_id})
        ulaw = encode_ulaw(tone_of(text, 8000))
        size, words = 1600, text.split(" ")
        chunks = max(len(words), -(-len(ulaw) // size))
        for index in range(chunks):
            if index < len(words):
                delta = words[index] if index == 0 else " " + words[index]
                item.text += delta
                await self.send("response.output_audio_transcript.delta", **ids, delta=delta)
            part = ulaw[index * size : (index + 1) * size]
            if part:
                item.audio_ms += len(part) // 8
                audio = base64.b64encode(part).decode()
                await self.send("response.output_audio.delta", **ids, delta=audio)
            await asyncio.sleep(self.pace_of(part))
            await self._maybe_cut(index)
        await self.send(
            "response.output_item.done",
            response_id=response_id,
            item={"id": item_id, "type": "message", "role": "assistant"},
        )

    def pace_of(self, ulaw: bytes) -> float:
        return self._server.pace * len(ulaw) / 8000

    async def _maybe_cut(self, index: int) -> None:
        cuts = self._server.troubles.cut_after_chunks
        if cuts and index >= cuts[0]:
            cuts.pop(0)
            await self._connection.close(1011)

    async def _call(self, response_id: str, name: str, arguments: str) -> None:
        item_id = self._new("item")
        self._server.memory[item_id] = Item("call", f"{name}({arguments})")
        item = {"id": item_id, "type": "function_call", "call_id": self._new("call")}
        await self.send("response.output_item.added", response_id=response_id, item=item)
        await self.send(
            "response.output_item.done",
            response_id=response_id,
            item={**item, "name": name, "arguments": arguments},
        )
