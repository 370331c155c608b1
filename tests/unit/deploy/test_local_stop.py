"""Stop signals while a local run clears away what a former one left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deploy.local.console import StopAsked, stop_signals
from deploy.local.processes import ProcessPlatform
from deploy.local.state import Running, State, StateFile, began

# Finishes its calls after the first signal, which takes long; ends with the second.
_SLOW = """
import signal, time
asked = []
def on_signal(*_):
    asked.append(1)
    if len(asked) == 2:
        raise SystemExit
signal.signal(signal.SIGTERM, on_signal)
print("there", flush=True)
while True:
    time.sleep(0.02)
"""


def test_a_signal_while_a_former_run_is_cleared_away_stops_this_one_too(tmp_path: Path) -> None:
    left = subprocess.Popen([sys.executable, "-c", _SLOW], stdout=subprocess.PIPE)
    try:
        assert left.stdout is not None
        assert left.stdout.readline() == b"there\n"
        processes = (
            Running("agent-1", left.pid, began(left.pid) or "", ""),
            Running("gateway", 2**22 + 1, "0", ""),  # it has ended: the former run is not up
        )
        StateFile(tmp_path).write(State("processes", processes))
        asking = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
        platform = ProcessPlatform(tmp_path, {})
        asking.start()
        with stop_signals(), pytest.raises(StopAsked):
            platform.up()
        asking.join()
        assert left.wait(timeout=5) == 0
        assert StateFile(tmp_path).read() is None
        assert not (tmp_path / "logs").exists(), "it went on to start"
    finally:
        left.kill()
        left.communicate()
