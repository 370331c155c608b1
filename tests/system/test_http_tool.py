"""An agent's HTTP tools against services on loopback, good and bad ones."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import SecretStr

from services.agent.agents.file import AgentFile, HttpTool
from services.agent.providers.base import CallFacts, ToolCall, ToolUsed
from services.agent.providers.confirmation import ReplyConfirmation
from services.agent.tools.base import ToolContext, ToolResult
from services.agent.tools.http import MAX_ANSWER_BYTES
from services.agent.tools.toolbox import ToolBox
from shared.protocol.call import CallId, Direction
from shared.runtime.outbound_http import Resolver
from tests.support.tool_server import ToolServer, answer

pytestmark = pytest.mark.system

CONTEXT = ToolContext(
    CallFacts(
        CallId("call-1"),
        "default",
        Direction.INBOUND,
        "+918000000001",
        "+918000000002",
        {"shop": "pune west"},
    ),
    "en",
)
CONFIRMED = ReplyConfirmation(is_given=True)
KEY = 'k3y"/with signs'


class FakeSecrets:
    def get(self, name: str) -> SecretStr | None:
        return SecretStr(KEY) if name == "SHOP_KEY" else None


def resolves_to(*addresses: str) -> Resolver:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return addresses

    return resolve


async def use(
    server: ToolServer,
    arguments: dict[str, Any] | None = None,
    *,
    url: str = "http://shop.example:{port}/x",
    resolve: Resolver | None = None,
    **fields: Any,
) -> tuple[ToolUsed, ToolResult]:
    names = {name: {"type": "string"} for name in ("a", "b")}
    whole = {
        "name": "shop",
        "description": "Asks the shop.",
        "parameters": {"type": "object", "properties": {**names, "n": {"type": "integer"}}},
        "url": url.replace("{port}", str(server.port)),
        "allow_private": True,
        **fields,
    }
    file = AgentFile(tools=(HttpTool.model_validate(whole),))
    tools = ToolBox.build(file, FakeSecrets(), resolve=resolve or resolves_to("127.0.0.1"))
    try:
        call = ToolCall("1", "shop", json.dumps(arguments or {}))
        return await tools.run(call, CONTEXT, CONFIRMED)
    finally:
        await tools.aclose()


async def test_an_argument_stays_in_its_place_of_the_url() -> None:
    async with ToolServer() as server:
        await use(
            server,
            {"a": "../admin?x=1#y", "b": "1&role=owner"},
            url="http://shop.example:{port}/orders/{a}/lines?fixed=1&b={b}",
            query={"shop": "{metadata.shop}", "n": "{n}", "of": "{call.from}"},
        )
    assert server.asked[0].line == (
        "GET /orders/..%2Fadmin%3Fx%3D1%23y/lines"
        "?fixed=1&b=1%26role%3Downer&shop=pune%20west&of=%2B918000000001 HTTP/1.1"
    )
    assert server.asked[0].headers["host"] == f"shop.example:{server.port}"


@pytest.mark.parametrize("value", ["", ".", ".."])
async def test_an_argument_cannot_walk_up_the_path(value: str) -> None:
    async with ToolServer() as server:
        used, _ = await use(server, {"a": value}, url="http://shop.example:{port}/v1/{a}/secret")
    assert used.outcome == "refused"
    assert server.asked == []


async def test_a_header_is_one_line_whatever_fills_it() -> None:
    async with ToolServer() as server:
        await use(server, {"a": "x\r\nX-Admin: yes"}, headers={"X-Note": "{a} ü"})
    assert "x-admin" not in server.asked[0].headers
    assert server.asked[0].headers["x-note"] == "x X-Admin: yes ü"


async def test_a_body_keeps_the_types_of_its_arguments() -> None:
    async with ToolServer() as server:
        await use(
            server,
            {"a": 'say "hi"', "n": 3},
            method="POST",
            body={"text": "He said: {a}", "count": "{n}", "gone": "{b}", "list": ["{n}", True]},
        )
    assert json.loads(server.asked[0].body) == {
        "text": 'He said: say "hi"',
        "count": 3,
        "list": [3, True],
    }
    assert server.asked[0].headers["content-type"] == "application/json"


async def test_without_a_body_the_arguments_are_posted_as_they_are() -> None:
    async with ToolServer() as server:
        await use(server, {"a": "x"}, method="POST")
    assert json.loads(server.asked[0].body) == {"a": "x"}


async def test_a_secret_reaches_the_service_and_nobody_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    echo = json.dumps({"you_sent": f"Bearer {KEY}", "a": 1}).encode()
    for status in ("200 OK", "403 Forbidden"):
        async with ToolServer([answer(echo, status=status)]) as server:
            used, result = await use(
                server,
                secrets=["SHOP_KEY"],
                headers={"Authorization": "Bearer {secret.SHOP_KEY}"},
                query={"key": "{secret.SHOP_KEY}"},
            )
        assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
        for text in (repr(used), repr(result), *capsys.readouterr()):
            assert "k3y" not in text
        assert "***" in result.text


async def test_a_secret_that_is_not_set_is_named_and_nothing_is_asked() -> None:
    async with ToolServer() as server:
        used, _ = await use(server, secrets=["OTHER_KEY"], headers={"K": "{secret.OTHER_KEY}"})
    assert used.outcome == "failed"
    assert "OTHER_KEY is not set" in used.result
    assert server.asked == []


@pytest.mark.parametrize(
    "addresses",
    [("127.0.0.1",), ("10.0.0.1",), ("169.254.169.254",), ("8.8.8.8", "127.0.0.1"), ("::1",)],
)
async def test_a_name_that_leads_inside_is_refused(addresses: tuple[str, ...]) -> None:
    async with ToolServer() as server:
        used, _ = await use(server, resolve=resolves_to(*addresses), allow_private=False)
    assert used.outcome == "refused"
    assert server.connections == 0


async def test_an_address_in_the_url_is_judged_as_well() -> None:
    async with ToolServer() as server:
        used, _ = await use(server, url="http://127.0.0.1:{port}/x", allow_private=False)
    assert used.outcome == "refused"


async def test_the_name_is_looked_up_once_and_the_judged_address_is_the_one_used() -> None:
    looked_up: list[str] = []

    async def resolve(host: str, _port: int) -> Sequence[str]:
        looked_up.append(host)
        return ["127.0.0.1"] if len(looked_up) == 1 else ["10.255.255.1"]

    async with ToolServer() as server:
        used, _ = await use(server, resolve=resolve)
    assert (used.outcome, looked_up) == ("ok", ["shop.example"])


async def test_a_name_without_an_address_is_a_failed_result() -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such name")

    async with ToolServer() as server:
        used, _ = await use(server, resolve=resolve)
        nobody, _ = await use(server, resolve=resolves_to())
    assert (used.outcome, nobody.outcome) == ("failed", "failed")


async def test_a_redirect_is_not_followed() -> None:
    moved = answer(b"", status="302 Found", location="http://127.0.0.1:1/secret")
    async with ToolServer([moved]) as server:
        used, _ = await use(server)
    assert (used.outcome, len(server.asked)) == ("failed", 1)
    assert "status 302" in used.result


async def test_an_error_status_is_a_result_the_model_can_speak_about() -> None:
    async with ToolServer([answer(b'{"error": "sold out"}', status="409 Conflict")]) as server:
        used, _ = await use(server)
    assert used.outcome == "failed"
    assert used.result == 'The service answered with status 409. {"error":"sold out"}'


async def test_json_is_made_small_and_a_long_text_is_cut() -> None:
    long = answer(b"x" * 6000, content_type="text/plain")
    async with ToolServer([answer(b'{ "a" :\n [1, 2] }'), long, answer(b"")]) as server:
        assert (await use(server))[1].text == '{"a":[1,2]}'
        _, result = await use(server)
        assert result.text == "x" * 4000 + " (the rest was cut)"
        assert (await use(server))[1].text == "Done."


async def test_an_answer_without_end_is_read_to_its_bound() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n"
    async with ToolServer([head], tail=b"x" * MAX_ANSWER_BYTES) as server:
        used, result = await use(server)
    assert used.outcome == "ok"
    assert result.text.endswith("(the rest was cut)")


async def test_a_compressed_answer_is_not_unpacked() -> None:
    packed = answer(b"\x1f\x8b" + b"0" * 100, content_encoding="gzip")
    async with ToolServer([packed]) as server:
        used, _ = await use(server)
    assert used.outcome == "failed"
    assert server.asked[0].headers["accept-encoding"] == "identity"


async def test_a_service_that_never_answers_is_a_timeout() -> None:
    async with ToolServer([None]) as server:
        used, _ = await use(server, timeout_s=0.1)
        acting, _ = await use(server, timeout_s=0.1, method="POST")
    assert used.outcome == "timeout"
    assert acting.result.endswith("Whether it was done is not known.")


@pytest.mark.parametrize("bad", [b"garbage\r\n\r\n", b""])
async def test_a_broken_service_is_a_failed_result(bad: bytes) -> None:
    async with ToolServer([bad]) as server:
        used, _ = await use(server, timeout_s=0.2)
    assert used.outcome in ("failed", "timeout")


async def test_over_tls_the_name_is_asked_for_and_a_certificate_is_needed() -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    stand_in = ToolServer(port=port)
    used, _ = await use(stand_in, url="https://shop.example:{port}/x")
    server.close()
    await server.wait_closed()
    assert used.outcome == "failed"
    assert names == ["shop.example"]


async def test_a_connection_is_kept_for_the_next_use() -> None:
    file = HttpTool(name="shop", description="", url="http://shop.example/x", allow_private=True)
    async with ToolServer() as server:
        url = f"http://shop.example:{server.port}/x"
        agent = AgentFile(tools=(file.model_copy(update={"url": url}),))
        tools = ToolBox.build(agent, FakeSecrets(), resolve=resolves_to("127.0.0.1"))
        for _ in range(2):
            await tools.run(ToolCall("1", "shop", ""), CONTEXT, CONFIRMED)
        await tools.aclose()
        await tools.aclose()
    assert (len(server.asked), server.connections) == (2, 1)
