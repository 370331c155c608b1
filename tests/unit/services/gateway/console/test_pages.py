"""services.gateway.console.pages: the files, as browsers get them."""

from __future__ import annotations

import re

import pytest

from services.gateway.console.pages import STATIC, read_pages, security_headers
from tests.support.console import console_of

NAMES = sorted(read_pages())


async def test_the_console_is_found_without_its_last_slash() -> None:
    async with console_of() as console:
        answer = await console.get("/console")
        # Relative, so that it holds behind a proxy with a path of its own.
        assert (answer.status_code, answer.headers["location"]) == (307, "console/")


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_is_sent_packed_once_and_then_only_when_it_changed(name: str) -> None:
    async with console_of() as console:
        path = f"/console/static/{name}"
        first = await console.get(path, accept_encoding="gzip")
        assert first.headers["content-encoding"] == "gzip"
        plain = await console.get(path, accept_encoding="identity")
        assert plain.content == first.content == (STATIC / name).read_bytes()
        assert "content-encoding" not in plain.headers
        again = await console.get(path, if_none_match=first.headers["etag"])
        assert (again.status_code, again.content) == (304, b"")
        assert first.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["door.py", "..%2Fdoor.py", "%2e%2e/door.py", "", "nothing.js"])
async def test_nothing_but_the_pages_files_is_sent(name: str) -> None:
    async with console_of() as console:
        assert (await console.get(f"/console/static/{name}")).status_code == 404


async def test_the_page_may_load_nothing_from_elsewhere_and_be_framed_by_nobody() -> None:
    async with console_of() as console:
        policy = (await console.get("/console/")).headers["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == "'self'"
    assert rules["connect-src"] == "'self' ws://localhost:5000 wss://localhost:5000"
    assert rules["frame-ancestors"] == rules["base-uri"] == "'none'"


def test_a_host_that_is_none_gets_nothing_into_the_policy() -> None:
    policy = security_headers("x; script-src *")["content-security-policy"]
    assert "connect-src 'self';" in policy
    assert "*" not in policy


def test_the_files_are_small_and_name_no_other_host() -> None:
    pages = read_pages()
    assert sum(len(page.body) for page in pages.values()) < 155_000
    for name, page in pages.items():
        found = set(re.findall(r"(?:https?|wss?)://[^\s\"'`)]+", page.body.decode()))
        foreign = {url for url in found if not re.match(r"http://(www\.w3\.org/|localhost\b)", url)}
        assert foreign == set(), name


def test_no_script_and_no_style_stands_in_the_page_itself() -> None:
    html = read_pages()["index.html"].body.decode()
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=", html)
