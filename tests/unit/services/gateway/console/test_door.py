"""services.gateway.console.door: who may use the console, and from where."""

from __future__ import annotations

import pytest

from tests.support.console import LOCAL, PASSWORD, console_of

SESSION, AGENT = "/console/api/session", {"agent": "default"}
PUBLIC = "https://voice.example.com"


async def test_a_local_console_is_open() -> None:
    async with console_of() as console:
        said = (await console.get(SESSION)).json()
        assert (said["mode"], said["is_logged_in"]) == ("open", True)
        # Nobody is free: who may ask gets that far.
        assert (await console.post("/console/api/talk", AGENT)).status_code == 503


@pytest.mark.parametrize("name", ["127.0.0.1:5000", "[::1]:5000", "LOCALHOST", "box.lan:5000"])
async def test_an_open_console_answers_to_its_own_names(name: str) -> None:
    async with console_of(console_names="box.lan, other") as console:
        assert (await console.get(SESSION, host=name)).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["evil.example", "localhost.evil.example", "192.168.1.5", "", "local host", "a@localhost"],
)
@pytest.mark.parametrize("path", [SESSION, "/console/", "/console/static/app.js"])
async def test_an_open_console_answers_to_no_other_name(name: str, path: str) -> None:
    async with console_of() as console:
        assert (await console.get(path, host=name)).status_code == 403


@pytest.mark.parametrize("peer", ["192.168.1.9", "::ffff:10.0.0.4", "nonsense"])
async def test_an_open_console_is_for_its_own_machine_whatever_a_host_header_says(
    peer: str,
) -> None:
    async with console_of(peer=peer) as console:
        answer = await console.get("/console/api/calls")
        assert answer.status_code == 403
        assert "CONSOLE_PASSWORD" in answer.json()["problem"]
    # Whoever names names says that nobody else reaches the port.
    async with console_of(peer=peer, console_names="localhost") as console:
        assert (await console.get("/console/api/calls")).status_code == 200
    async with console_of(peer=peer, console_password=PASSWORD) as console:
        assert (await console.get(SESSION)).status_code == 200


async def test_a_public_gateway_without_a_password_has_no_console() -> None:
    async with console_of(PUBLIC, public_url=PUBLIC, gateway_webhook_auth="none") as console:
        answer = await console.get("/console/")
        assert answer.status_code == 403
        assert "CONSOLE_PASSWORD" in answer.text
        assert answer.headers["content-type"].startswith("text/html")
        for path in (SESSION, "/console/static/app.js"):
            assert (await console.get(path)).status_code == 403
        assert (await console.post("/console/api/talk", AGENT)).status_code == 403
        assert (await console.post("/console/api/login", {"password": ""})).status_code == 403


@pytest.mark.parametrize("base", [PUBLIC, LOCAL])
async def test_with_a_password_one_logs_in_and_out(base: str) -> None:
    public = {"public_url": PUBLIC, "gateway_webhook_auth": "none"} if base == PUBLIC else {}
    async with console_of(base, console_password=PASSWORD, **public) as console:
        said = (await console.get(SESSION)).json()
        assert (said["mode"], said["is_logged_in"]) == ("login", False)
        refused = await console.post("/console/api/talk", AGENT)
        assert (refused.status_code, refused.json()) == (401, {"problem": "Log in first."})

        answer = await console.post("/console/api/login", {"password": PASSWORD})
        assert answer.status_code == 204
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert ("secure" in cookie) == (base == PUBLIC)
        assert cookie.startswith("__host-") == (base == PUBLIC)
        assert PASSWORD not in cookie
        assert (await console.get(SESSION)).json()["is_logged_in"]
        assert (await console.post("/console/api/talk", AGENT)).status_code == 503

        assert (await console.post("/console/api/logout", {})).status_code == 204
        assert not (await console.get(SESSION)).json()["is_logged_in"]


async def test_a_session_ends_by_itself() -> None:
    async with console_of(console_password=PASSWORD, console_session_s=600) as console:
        await console.post("/console/api/login", {"password": PASSWORD})
        console.clock.advance(599)
        assert (await console.get(SESSION)).json()["is_logged_in"]
        console.clock.advance(2)
        assert not (await console.get(SESSION)).json()["is_logged_in"]


async def test_wrong_passwords_are_bounded_and_then_the_right_one_waits_too() -> None:
    async with console_of(console_password=PASSWORD) as console:
        given = [await console.post("/console/api/login", {"password": p}) for p in "abcde"]
        assert {answer.status_code for answer in given} == {401}
        late = await console.post("/console/api/login", {"password": PASSWORD})
        assert late.status_code == 429
        assert "Wait 10 seconds" in late.json()["problem"]
        console.clock.advance(10)
        right = await console.post("/console/api/login", {"password": PASSWORD})
        assert right.status_code == 204


async def test_behind_a_trusted_proxy_one_client_does_not_shut_out_the_others() -> None:
    """All that came through a proxy had one count, and whoever guessed locked everybody out."""
    proxied = {"gateway_trusted_proxies": "10.0.0.0/8", "console_password": PASSWORD}
    async with console_of(peer="10.0.0.1", **proxied) as console:

        async def try_in(client: str, password: str) -> int:
            body = {"password": password}
            answer = await console.post("/console/api/login", body, x_forwarded_for=client)
            return answer.status_code

        # What the attacker writes there itself changes with each try, and helps nothing.
        tried = [await try_in(f"192.0.2.{n}, 203.0.113.9", "guess") for n in range(7)]
        assert tried == [401] * 5 + [429] * 2
        assert await try_in("198.51.100.7", PASSWORD) == 204


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8"])
async def test_a_forwarding_header_of_anybody_else_gives_no_more_tries(trusted: str) -> None:
    changes = {"gateway_trusted_proxies": trusted, "console_password": PASSWORD}
    async with console_of(peer="203.0.113.9", **changes) as console:
        for n in range(5):
            client = f"192.0.2.{n}"
            await console.post("/console/api/login", {"password": "x"}, x_forwarded_for=client)
        body = {"password": PASSWORD}
        answer = await console.post("/console/api/login", body, x_forwarded_for="192.0.2.9")
        assert answer.status_code == 429


async def test_an_open_console_is_not_for_those_a_proxy_of_its_machine_speaks_for() -> None:
    async with console_of(gateway_trusted_proxies="127.0.0.1") as console:
        assert (await console.get(SESSION, x_forwarded_for="203.0.113.9")).status_code == 403
        assert (await console.get(SESSION, x_forwarded_for="127.0.0.1")).status_code == 200
    # Nor does a proxy elsewhere bring its own machine's people in.
    async with console_of(peer="10.0.0.1", gateway_trusted_proxies="10.0.0.1") as console:
        assert (await console.get(SESSION, x_forwarded_for="127.0.0.1")).status_code == 403


@pytest.mark.parametrize("password", [None, 7, ["x"], ""])
async def test_what_is_no_password_is_a_wrong_one(password: object) -> None:
    async with console_of(console_password=PASSWORD) as console:
        answer = await console.post("/console/api/login", {"password": password})
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://localhost:5001"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": "application/json; charset=utf-8"}, 503),
    ],
)
async def test_writes_come_as_json_from_our_own_page(headers: dict[str, str], status: int) -> None:
    async with console_of() as console:
        answer = await console.post("/console/api/talk", AGENT, **headers)
        assert answer.status_code == status


async def test_a_write_without_an_origin_is_refused() -> None:
    async with console_of() as console:
        answer = await console.client.post("/console/api/talk", json=AGENT)
        assert answer.status_code == 403


async def test_behind_a_proxy_that_changes_the_host_the_public_origin_is_ours() -> None:
    public = {"public_url": f"{PUBLIC}/voice", "gateway_webhook_auth": "none"}
    async with console_of("http://gateway:5000", console_password=PASSWORD, **public) as console:
        body = {"password": PASSWORD}
        assert (await console.post("/console/api/login", body, origin=PUBLIC)).status_code == 204
        plain = PUBLIC.replace("https", "http")
        assert (await console.post("/console/api/login", body, origin=plain)).status_code == 403


@pytest.mark.parametrize(
    "body", ["no JSON", "[]", "[" * 10_000, '{"agent": 7}', '{"agent": "a b"}']
)
async def test_a_body_that_says_nothing_is_told_so(body: str) -> None:
    async with console_of() as console:
        headers = {"origin": LOCAL, "content-type": "application/json"}
        answer = await console.client.post("/console/api/talk", content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["problem"]


async def test_a_long_body_is_not_parsed() -> None:
    async with console_of() as console:
        answer = await console.post("/console/api/talk", {"agent": "a" * 20_000})
        assert answer.status_code == 413
