"""What is written for people, against what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.documents import CLASSES, FILES, ROOT, all_entries

READMES = [ROOT / "README.md", *(ROOT / "services" / s / "README.md" for s in CLASSES)]
_SETTING_ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]+)` \|([^|]*)\|", re.MULTILINE)
_SETTING_WORD = re.compile(
    r"`((?:GATEWAY|AGENT|DIALER|SIMULATOR|VOBIZ|REDIS|PARLEY|PUBLISH|LOG)_[A-Z0-9_]+)(?:=[^`]*)?`"
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("name", FILES)
def test_what_is_made_from_the_settings_is_current(name: str) -> None:
    assert (ROOT / name).read_text() == FILES[name](), "run python -m deploy.documents"


@pytest.mark.parametrize("path", READMES, ids=_name)
def test_a_settings_table_tells_the_names_and_defaults_of_the_code(path: Path) -> None:
    entries = all_entries()
    for setting, cell in _SETTING_ROW.findall(path.read_text()):
        assert setting in entries, f"{_name(path)} lists {setting}, which nothing reads"
        default = cell.strip().strip("`")
        if " " not in default:  # words describe what no default could say
            assert default == entries[setting].default, f"{_name(path)}: {setting}"


@pytest.mark.parametrize("path", READMES, ids=_name)
def test_a_setting_named_in_a_text_exists(path: Path) -> None:
    assert set(_SETTING_WORD.findall(path.read_text())) - set(all_entries()) == set()


def test_the_readme_has_the_services_and_their_ports() -> None:
    readme = (ROOT / "README.md").read_text()
    for service, port in (
        *(("gateway", 5000), ("agent", 5001), ("agent", 9101)),
        *(("dialer", 5002), ("simulator", 5003), ("prometheus", 9090)),
    ):
        assert re.search(rf"^\| {service}\b.*\b{port}\b", readme, re.MULTILINE | re.IGNORECASE)


def test_the_readme_names_every_make_command() -> None:
    commands = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    readme = (ROOT / "README.md").read_text()
    assert [c for c in commands if c != "help" and f"make {c}" not in readme] == []


def test_files_that_the_documents_point_at_exist() -> None:
    for path in (*READMES, *(ROOT / "deploy").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{_name(path)} points at {target}"
