"""The telephony cloud for a measurement: webhooks from here, media by the client in C.

`native/load.c` holds the media sockets; see there what it measures.
"""

from __future__ import annotations

import json
import select
import subprocess
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import httpx
import numpy as np

from deploy.bench.native import program
from deploy.bench.rig.figures import LoadReport
from services.simulator.calls import forms
from services.simulator.calls.endings import person_hung_up
from shared.audio.format import FRAME_BYTES
from shared.audio.g711 import encode_ulaw
from shared.protocol.call import CallId, Direction
from shared.protocol.worker import LinkRequest
from shared.runtime.settings import DEFAULT_LINK_SECRET

_ANSWER_S = 10.0
_NOISE_FRAMES = 500
GRAIN_US = 1000
"""Calls' frames are spread over the 20 ms in steps of this, as by a cloud's timer. With steps of a
microsecond, each frame a wake-up of its own, floors cost a third more, the platform a tenth."""
LEAD_MS = 280
"""What workers keep a handset ahead of real time at least, a turn of their wheel taken off."""
OPENED_EACH_S = 0.06
_BUSY_S = 1.0
_BUSY_TIMES = 5
_SETTLE_S = 15.0


class CProgram:
    """A program of `native/`, told what to do by its stdin."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [str(program(name)), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def tell(self, *lines: str) -> None:
        """Say lines to it."""
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()

    def hear(self) -> str:
        """Return the line it says next.

        Raises:
            RuntimeError: it says nothing for ten seconds, or is gone.
        """
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], _ANSWER_S)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line:
            raise RuntimeError("a program of the bench has ended or hangs")
        return line

    def ask(self, line: str) -> dict[str, Any]:
        """Say a line and return what is answered."""
        self.tell(line)
        answer: dict[str, Any] = json.loads(self.hear())
        return answer

    def close(self) -> None:
        """Have it end; cut it off where it does not."""
        try:
            self.tell("quit")
            self.process.wait(timeout=_ANSWER_S)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait(timeout=_ANSWER_S)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class Cloud:
    """So many calls at once, opened and hung up together.

    Args:
        folder: for the audio of the callers' lines.
        line_dbfs: the noise on them.
        has_stamps: frames carry the time they were sent at; the far end must be the paced server.
    """

    def __init__(self, folder: Path, *, line_dbfs: float, has_stamps: bool = False) -> None:
        line = folder / f"line{line_dbfs:.0f}.ulaw"
        line.write_bytes(line_noise(line_dbfs))
        options = ["--grain-us", str(GRAIN_US), "--lead-ms", str(LEAD_MS)]
        options += ["--stamp"] if has_stamps else []
        self._load = CProgram("load", *options, str(line))
        self._facts: list[forms.CallFacts] = []
        self._gateway = ""

    def __enter__(self) -> Cloud:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.hang_up()

    def call_gateway(self, base: str, calls: int, *, over_s: float = 0.0) -> None:
        """Have a gateway answer so many calls, and open their media sockets.

        Args:
            base: the gateway's URL.
            calls: how many more.
            over_s: spread over so long; sixteen a second at most.

        Raises:
            RuntimeError: it gave no stream.
        """
        self._gateway = base
        began_s, each_s = time.monotonic(), max(OPENED_EACH_S, over_s / calls)
        with httpx.Client(timeout=_ANSWER_S) as client:
            for number in range(calls):
                time.sleep(max(0.0, began_s + number * each_s - time.monotonic()))
                self._call_one(client, base)

    def _call_one(self, client: httpx.Client, base: str) -> None:
        """Have one call answered; who hears that all lines are busy calls again."""
        for _ in range(_BUSY_TIMES):
            facts = _facts()
            answer = client.post(f"{base}/answer", data=forms.start_app(facts))
            stream = ElementTree.fromstring(answer.content).find("Stream")  # noqa: S314 - ours
            if stream is not None and stream.text is not None:
                self._facts.append(facts)
                self.open_socket(stream.text.strip())
                return
            time.sleep(_BUSY_S)
        raise RuntimeError(f"the gateway gave no stream: {answer.content[:200]!r}")

    def call_worker(self, port: int, calls: int) -> None:
        """Open so many links to a worker, as a gateway would."""
        for _ in range(calls):
            time.sleep(OPENED_EACH_S)
            request = LinkRequest(CallId(str(uuid.uuid4())))
            headers = request.headers(DEFAULT_LINK_SECRET, time.time())
            self.open_socket(f"ws://127.0.0.1:{port}{request.path}", headers)

    def open_socket(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        """Open one media socket, further headers of its handshake given."""
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
        self._load.tell(f"call {parts.hostname} {parts.port} {path} 0", *lines, "")

    def await_open(self, calls: int) -> None:
        """Wait until so many calls are open.

        Raises:
            RuntimeError: some were refused, or are not open in time.
        """
        until_s = time.monotonic() + _SETTLE_S
        while (report := self.report()).open < calls:
            if report.refused or time.monotonic() > until_s:
                raise RuntimeError(f"{report.open} of {calls} calls open, {report.refused} refused")
            time.sleep(0.05)

    def begin(self) -> None:
        """Measure from now on."""
        self._load.tell("begin")

    def pause(self) -> None:
        """Have the callers send nothing until `resume`."""
        self._load.tell("pause")

    def resume(self) -> None:
        """Have them send again."""
        self._load.tell("resume")

    def report(self) -> LoadReport:
        """Return what was measured since then."""
        return LoadReport.of(self._load.ask("report"))

    def hang_up(self) -> None:
        """End all calls, as callers do."""
        self._load.close()
        if not self._facts:
            return
        facts, self._facts = self._facts, []
        ended_at, ending = datetime.now(UTC), person_hung_up(Direction.INBOUND)
        with httpx.Client(timeout=_ANSWER_S) as client:
            for one in facts:
                form = forms.hangup(one, ending, one.session_start, ended_at)
                client.post(f"{self._gateway}/hangup", data=form)


def _facts() -> forms.CallFacts:
    return forms.CallFacts(
        call_uuid=str(uuid.uuid4()),
        direction=Direction.INBOUND,
        from_number="+918000000001",
        to_number="+918000000002",
        auth_id="MA_BENCH",
        session_start=datetime.now(UTC),
    )


def line_noise(dbfs: float, frames: int = _NOISE_FRAMES) -> bytes:
    """Return mu-law noise of a level, the same each time."""
    pcm = np.random.default_rng(1).standard_normal(frames * FRAME_BYTES) * 32768 * 10 ** (dbfs / 20)
    return encode_ulaw(np.round(pcm).astype(np.int16))
