"""`python -m deploy.console_pictures`: take the pictures of the console that the README shows.

Of a console that runs already (`--url`), in a real Chromium: each view at 1280 and 360 pixels, in
light, some in dark. The talk view is in the middle of a call whose microphone says `--wav`, the
dial view in that of a call it has placed, the campaign in that of people who are called: those of
the simulator, which has to be what the dialer dials by.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, TimeoutError, sync_playwright

_ROOT = Path(__file__).resolve().parents[1]
_OUT = _ROOT / "services" / "gateway" / "console" / "pictures"
_HEIGHTS = {1280: 860, 360: 760}
_MOST_BYTES = 150_000
_DIALLED, _DIALLED_S = "+918000000002", 16.0
_CALLED_S = 60.0
_CAMPAIGN = """async ([wanted, table]) => {
  const post = async (path, kind, body) => {
    const answer = await fetch(`api/campaigns${path}`,
      { method: "POST", headers: { "content-type": kind }, body });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  };
  const { id } = await post("", "application/json", JSON.stringify(wanted));
  await post(`/${id}/rows`, "text/csv", table);
  await post(`/${id}/start`, "application/json", "{}");
  return id;
}"""
_WANTED = {
    "name": "Renewals, November",
    "cps": 2,
    "concurrency": 4,
    "windows": {"always": True},
    "retry": {"max_attempts": 1},
}
_PEOPLE = ("0001", "6010", "0002", "3010", "0003", "9100", "0004", "3020", "0006", "0005")
"""The last digits say what happens, see the simulator."""
_BROWSER = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: which view, how wide, in which colours."""

    view: str
    width: int
    is_dark: bool = False

    @property
    def name(self) -> str:
        """The file's."""
        first, _, of = self.view.partition("/")
        name = {"calls": "call", "dial": "dial-campaign"}[first] if of else first
        return f"{name}-{self.width}{'-dark' if self.is_dark else ''}.png"


def shots(call_id: str, campaign_id: str) -> Iterator[Shot]:
    """Every picture there is to take."""
    views = ("talk", "now", "calls", f"calls/{call_id}", "dial", f"dial/{campaign_id}")
    for view in views:
        for width in _HEIGHTS:
            yield Shot(view, width)
    yield Shot("talk", 1280, is_dark=True)
    yield Shot(f"calls/{call_id}", 1280, is_dark=True)


@contextmanager
def chromium(wav: Path | None) -> Iterator[Browser]:
    """Run a browser; its microphone says a WAV, or beeps."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise SystemExit("No chromium on the PATH.")
    microphone = (f"--use-file-for-fake-audio-capture={wav}%noloop",) if wav else ()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=[*_BROWSER, *microphone])
        try:
            yield browser
        finally:
            browser.close()


def take(browser: Browser, url: str, shot: Shot, out: Path, *, talk_s: float) -> None:
    """Take one picture."""
    context = browser.new_context(
        viewport={"width": shot.width, "height": _HEIGHTS[shot.width]},
        color_scheme="dark" if shot.is_dark else "light",
        permissions=["microphone"],
        locale="en-GB",
    )
    page = context.new_page()
    page.goto(f"{url}/console/#{shot.view}")
    page.wait_for_selector("html[data-ready]")
    if shot.view == "talk":
        page.get_by_role("button", name="Talk", exact=True).click()
        page.wait_for_timeout(1000 * talk_s)
    if shot.view == "dial":
        page.get_by_label("Number").fill(_DIALLED)
        page.get_by_role("button", name="Call", exact=True).click()
        page.wait_for_timeout(1000 * _DIALLED_S)
    page.wait_for_timeout(900)
    # Those of a phone are all as tall as its screen, so that they can stand side by side.
    is_whole = shot.width > 640 and shot.view != "calls" and not shot.view.startswith("dial/")
    page.screenshot(path=out / shot.name, full_page=is_whole)
    _pack(out / shot.name)
    _end_call(page)
    context.close()


def _pack(path: Path) -> None:
    """Write a picture anew in 256 colours; the page has few more."""
    with Image.open(path) as picture:
        packed = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    packed.save(path, optimize=True)


def _end_call(page: Page) -> None:
    try:
        page.get_by_role("button", name="Hang up").click(timeout=200)
    except TimeoutError:
        return


def newest_call(browser: Browser, url: str) -> str:
    """Return the newest call that has a page worth showing: the first of the list."""
    page = browser.new_page()
    page.goto(f"{url}/console/#calls")
    link = page.locator(".list tbody a").first.get_attribute("href")
    page.close()
    if link is None:
        raise SystemExit("There is no call yet to be shown.")
    return link.partition("/")[2]


def make_campaign(browser: Browser, url: str) -> str:
    """Have people called until some have been; return the campaign that does it."""
    names = ("Asha", "Ravi", "Meera", "Dev", "Lakshmi", "Imran", "Sara")
    numbers = [f"+91800{n:03}{end}" for n in range(1, 21) for end in _PEOPLE]
    lines = [f"{number},{names[n % len(names)]}" for n, number in enumerate(numbers)]
    page = browser.new_page()
    page.goto(f"{url}/console/")
    found: str = page.evaluate(_CAMPAIGN, [_WANTED, "\n".join(["to,name", *lines])])
    page.wait_for_timeout(1000 * _CALLED_S)
    page.close()
    return found


def main() -> int:
    """Take all pictures; 1 when one is too large for a README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://localhost:5000", help="the gateway")
    parser.add_argument("--wav", type=Path, help="what the microphone says; 48 kHz mono, 16 bit")
    parser.add_argument("--talk-s", type=float, default=14.0, help="into the call")
    parser.add_argument("--call", help="id of the call to show; the newest when left out")
    parser.add_argument("--only", default="", help="pictures whose names begin so")
    parser.add_argument("--out", type=Path, default=_OUT, help="folder")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with chromium(options.wav) as browser:
        campaign_id = make_campaign(browser, options.url)
        call_id = options.call or newest_call(browser, options.url)
        for shot in shots(call_id, campaign_id):
            if shot.name.startswith(options.only):
                take(browser, options.url, shot, options.out, talk_s=options.talk_s)
    sizes = {path.name: path.stat().st_size for path in sorted(options.out.glob("*.png"))}
    for name, size in sizes.items():
        print(f"{name}: {size // 1000} kB")
    return 1 if max(sizes.values()) > _MOST_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
