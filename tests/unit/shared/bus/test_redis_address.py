"""Where Redis is, read out of a URL."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from shared.bus.redis_address import (
    _OPTIONS,
    _TLS_OPTIONS,
    BadRedisUrl,
    Kind,
    RedisAddress,
    parse_address,
    redis_place,
)


@pytest.mark.parametrize(
    "url",
    [
        *("redis://h:1/0", "rediss://u:p@h", "unix:///run/redis.sock?db=1", "redis://a+b@h"),
        *("redis://:p%23%3F@h_1.example/", "redis://[::1]:7", "REDIS://h?db=2&client_name=x"),
        "rediss://h?ssl_ca_certs=/run/ca.pem&ssl_cert_reqs=required",
    ],
)
def test_the_url_of_one_server_says_all_itself(url: str) -> None:
    assert parse_address(url) == RedisAddress(Kind.SERVER, url)


def test_sentinels_have_a_name_and_ports_of_their_own() -> None:
    url = "rediss+sentinel://me:p%40ss@a,b:1,[::1]:2,[::2]/calls/3?sentinel_password=s"
    assert parse_address(url) == RedisAddress(
        Kind.SENTINEL,
        hosts=(("a", 26379), ("b", 1), ("::1", 2), ("::2", 26379)),
        service="calls",
        db=3,
        user="me",
        password="p@ss",
        sentinel_password="s",
        has_tls=True,
    )


@pytest.mark.parametrize("path", ["", "/", "/0"])
def test_a_cluster_has_nodes_alone(path: str) -> None:
    found = parse_address(f"redis+cluster://a,b:7{path}")
    assert found == RedisAddress(Kind.CLUSTER, hosts=(("a", 6379), ("b", 7)))


@pytest.mark.parametrize(
    "url",
    [
        "redis+swarm://secret@a",
        "http+cluster://secret@a",
        "redis+cluster://secret@a/1",
        "redis+sentinel://secret@a",
        "redis+sentinel://secret@a/name/x",
        "redis+cluster://secret@a:x",
        "redis+cluster://secret@a:65536",
        "redis+sentinel://:[secret@a/name",
        "redis+sentinel://:secret\u2100@a/name",
        "redis+cluster://secret@",
        "redis+cluster://secret@a:0",
        "redis+cluster://a?secret=1",
        "redis+sentinel://a/name?sentinel_secret=1",
        "redis+sentinel://a:secret:c/name",
        "",
        "secret",
        "secret:6379",
        "http://:secret@a",
        "redissentinel://:secret@a",
        "redis:/:secret@a",
        "redis://",
        "redis://:secret@",
        "redis://:secret@/0",
        "redis://:secret@:6379",
        "redis://:secret@${HOST}:6379",
        "redis://:secret@a,b",
        "redis://:secret@a:x",
        "redis://:secret@a:0",
        "redis://:secret@a:65536",
        "redis://:secret@a:\u0663",
        "redis://:secret@[::1",
        "redis://:secret@a/x",
        "redis://:secret@a/1/2",
        "redis://:1/secret@a",
        "redis://:1?secret@a",
        "redis://:1#secret@a",
        "redis://:secret@a ",
        "redis://:secret@a\n",
        "redis://a?secret=1",
        "redis://a?db=secret",
        "redis://a?ssl_ca_certs=secret",
        "rediss://a?ssl_cert_reqs=secret",
        "unix://secret",
    ],
)
def test_what_can_not_be_read_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadRedisUrl) as refused:
        parse_address(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://me:hush@h:1/2?password=hush", "redis://h:1/2"),
        ("unix://:hush@/run/redis.sock?db=1", "unix:///run/redis.sock"),
        ("redis+sentinel://:hush@a,b:2/name?sentinel_password=hush", "redis+sentinel://a,b:2/name"),
    ],
)
def test_a_place_is_told_without_secrets(url: str, place: str) -> None:
    assert redis_place(url) == place


def test_secrets_do_not_show() -> None:
    found = parse_address("redis+sentinel://:hidden@a/name?sentinel_password=hidden")
    assert "hidden" not in repr(found)
    assert "hidden" not in repr(parse_address("redis://:hidden@a"))


@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix"])
def test_each_option_that_is_taken_is_one_that_the_client_knows(scheme: str) -> None:
    named = _OPTIONS | (_TLS_OPTIONS if scheme == "rediss" else frozenset())
    values = dict.fromkeys(named, "1") | dict.fromkeys(named & {"ssl_cert_reqs"}, "none")
    url = f"{scheme}://{'/run/redis.sock' if scheme == 'unix' else 'h'}?{urlencode(values)}"
    parse_address(url)
    pool = Redis.from_url(url).connection_pool
    connection = pool.make_connection()  # type: ignore[no-untyped-call] # redis-py's own
    assert connection.client_name == "1"


@given(st.text(max_size=60))
def test_whatever_is_written_is_an_address_or_refused_by_our_error(text: str) -> None:
    for url in (text, f"redis://{text}", f"redis+sentinel://{text}", f"redis+cluster://{text}"):
        with suppress(BadRedisUrl):
            parse_address(url)


@given(st.text(max_size=60))
def test_what_is_taken_for_one_server_is_taken_by_the_client_too(text: str) -> None:
    for url in (f"redis://{text}", f"rediss://h{text}", f"unix://{text}"):
        with suppress(BadRedisUrl):
            parse_address(url)
            Redis.from_url(url)
