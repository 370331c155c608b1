"""A real Chromium, driven by Playwright: its own profile, a WAV for a microphone, no other host."""

from __future__ import annotations

import importlib.resources
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser, Page, Playwright, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_OPTIONS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

_WHAT_IS_HEARD = """
(() => {
  // Whatever leads to the loudspeaker leads into a second node as well, which keeps it.
  const heard = (window.heard = { hz: 0, chunks: [] });
  const addModule = AudioWorklet.prototype.addModule;
  AudioWorklet.prototype.addModule = async function (...module) {
    await addModule.call(this, `data:text/javascript,${MODULE}`);
    await addModule.apply(this, module);
  };
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...more) {
    const { context } = this;
    if (to === context.destination) {
      const tap = new AudioWorkletNode(context, "heard");
      // The loudspeaker's own node is the last that is connected.
      const chunks = (heard.chunks = []);
      heard.hz = context.sampleRate;
      tap.port.onmessage = ({ data }) => chunks.push(data);
      connect.call(this, tap);
      connect.call(tap, context.destination);
    }
    return connect.call(this, to, ...more);
  };
})();
"""
_HEARD_WORKLET = """
registerProcessor("heard", class extends AudioWorkletProcessor {
  process([input]) {
    if (input[0]) this.port.postMessage(Array.from(input[0], (v) => Math.round(v * 32767)));
    return true;
  }
});
"""


def why_no_browser() -> str | None:
    """Why tests that need a browser can't run here; None: they can."""
    return None if CHROMIUM else "no chromium here"


@contextmanager
def chromium(*options: str, playwright: Playwright | None = None) -> Iterator[Browser]:
    """Run a browser while the context lasts."""
    if playwright is None:
        with sync_playwright() as started, chromium(*options, playwright=started) as browser:
            yield browser
        return
    arguments = [*_OPTIONS, *options]
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
    try:
        yield browser
    finally:
        browser.close()


def microphone_of(wav: Path) -> tuple[str, ...]:
    """Options that have a browser's microphone say a WAV, once."""
    return (*MICROPHONE, f"--use-file-for-fake-audio-capture={wav}%noloop")


def keep_what_is_heard(page: Page) -> None:
    """Have a page keep what its loudspeaker plays; to be called before it is opened.

    Its context must bypass the page's policy (`bypass_csp`), which lets no such thing in.
    """
    module = json.dumps(quote(_HEARD_WORKLET))
    page.add_init_script(_WHAT_IS_HEARD.replace("MODULE", module))


def what_was_heard(page: Page) -> tuple[list[int], int]:
    """Samples a page's loudspeaker has played, of 16 bits, and their rate."""
    heard = page.evaluate("() => ({ hz: heard.hz, samples: heard.chunks.flat() })")
    return heard["samples"], heard["hz"]


def serious_violations(page: Page) -> list[str]:
    """What axe-core finds serious or critical on the page as it is."""
    script = importlib.resources.files("axe_playwright_python") / "axe.min.js"
    page.evaluate(script.read_text())
    found: dict[str, Any] = page.evaluate("() => axe.run()")
    return [
        f"{violation['id']}: {node['html'][:120]}: {node.get('failureSummary', '')[:300]}"
        for violation in found["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]
