"""services/gateway/console/static/style.css: letters that can be read, in light and in dark."""

from __future__ import annotations

import re

import pytest

from services.gateway.console.pages import STATIC

STYLE = (STATIC / "style.css").read_text()
ON = {
    "ink": ("paper", "card", "wash"),
    "soft": ("paper", "card", "wash"),
    "accent": ("paper", "card", "wash"),
    "on-accent": ("accent",),
    "caller": ("card", "wash"),
    "agent": ("card", "wash"),
    "bad": ("paper", "card", "wash"),
    "fair": ("card",),
    "good": ("card",),
    "resume": ("card",),
    "card": ("bad", "ink", "endpointing", "transcription", "brain", "synthesis", "platform"),
}
"""Which colour is written on which."""


def palettes() -> dict[str, dict[str, str]]:
    """The variables of each scheme."""
    blocks = re.findall(r"(:root[^{]*)\{([^}]*)\}", STYLE)
    return {
        name.strip(): dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", body))
        for name, body in blocks
    }


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """As WCAG 2.2 defines it."""
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_dark_is_the_same_whether_chosen_or_the_systems() -> None:
    light, chosen, systems = palettes().values()
    assert chosen == systems
    assert chosen.keys() == light.keys()


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("letters", ON)
def test_letters_stand_out_from_what_they_are_written_on(letters: str, scheme: int) -> None:
    colours = list(palettes().values())[scheme]
    found = {ground: contrast(colours[letters], colours[ground]) for ground in ON[letters]}
    assert min(found.values()) >= 4.5, found
