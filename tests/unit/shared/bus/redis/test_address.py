"""Where Redis is, read out of a URL."""

from __future__ import annotations

import pytest

from shared.bus.redis.address import BadRedisUrl, Kind, RedisAddress, parse_address


@pytest.mark.parametrize(
    "url", ["redis://h:1/0", "rediss://u:p@h", "unix:///run/redis.sock?db=1", "redis://a+b@h"]
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
    ],
)
def test_what_can_not_be_read_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadRedisUrl) as refused:
        parse_address(url)
    assert "secret" not in str(refused.value)


def test_secrets_do_not_show() -> None:
    found = parse_address("redis+sentinel://:hidden@a/name?sentinel_password=hidden")
    assert "hidden" not in repr(found)
    assert "hidden" not in repr(parse_address("redis://:hidden@a"))
