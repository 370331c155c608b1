"""requirements/*.txt against pyproject.toml: every group locked, hashed, and nothing else in it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKED = ("gateway", "agent", "dialer", "simulator", "local", "livekit", "redis", "dev")
_PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[^ ;\\]+)(?: ; [^\\]+)? \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def _groups() -> dict[str, list[str | dict[str, str]]]:
    groups: dict[str, list[str | dict[str, str]]] = tomllib.loads(
        (ROOT / "pyproject.toml").read_text()
    )["dependency-groups"]
    return groups


def _wanted(group: str) -> set[str]:
    names: set[str] = set()
    for entry in _groups()[group]:
        if isinstance(entry, dict):
            names |= _wanted(entry["include-group"])
        else:
            names.add(re.split(r"[\[<>=;! ]", entry)[0].lower().replace("_", "-"))
    return names


def _lines(group: str) -> list[str]:
    return (ROOT / "requirements" / f"{group}.txt").read_text().splitlines()


def _pins(group: str) -> set[tuple[str, str]]:
    found = (_PIN.match(line) for line in _lines(group))
    return {(pin["name"], pin["version"]) for pin in found if pin}


def test_every_group_that_is_installed_is_locked() -> None:
    assert {path.stem for path in (ROOT / "requirements").glob("*.txt")} == set(LOCKED)
    assert set(_groups()) - {"core"} == set(LOCKED)


@pytest.mark.parametrize("group", LOCKED)
def test_a_lock_file_covers_its_group(group: str) -> None:
    missing = _wanted(group) - {name for name, _ in _pins(group)}
    assert not missing, f"run `make lock`: requirements/{group}.txt lacks {missing}"


@pytest.mark.parametrize("group", LOCKED)
def test_a_lock_file_holds_pins_and_hashes_and_no_address(group: str) -> None:
    odd = [line for line in _lines(group) if not (_PIN.match(line) or _HASH.match(line))]
    assert odd == []


@pytest.mark.parametrize("group", ["gateway", "agent", "dialer", "simulator", "local"])
def test_tests_run_on_the_versions_that_are_shipped(group: str) -> None:
    assert _pins(group) <= _pins("dev")


@pytest.mark.parametrize("group", LOCKED)
def test_every_python_gets_the_same_versions(group: str) -> None:
    """Images run 3.13 and tests perhaps 3.11: what was tried must be what is shipped."""
    names = [name for name, _ in _pins(group)]
    assert len(names) == len(set(names))
