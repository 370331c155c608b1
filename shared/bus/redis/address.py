"""PURE. Where Redis is: one server, a set watched by Sentinels, or a Cluster, all in one URL.

    redis://[user:password@]host[:6379][/db]                       one server; rediss:// with TLS
    redis+sentinel://[user:password@]host[:26379],host.../name[/db]  Sentinels, and the set's name
    redis+cluster://[user:password@]host[:6379],host...            some nodes of a Cluster

`rediss+sentinel` and `rediss+cluster` are the same with TLS. User and password are Redis's own;
the Sentinels' go in the query: `?sentinel_password=...`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qs, unquote, urlsplit

_SENTINEL_PORT, _REDIS_PORT = 26379, 6379


class BadRedisUrl(ValueError):
    """The URL names no Redis. The text never repeats it: a password may be in it."""


class Kind(StrEnum):
    """What stands behind an address."""

    SERVER = "server"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is. Of one server `url` says all, and the other fields are empty.

    `hosts` are Sentinels, or nodes of a Cluster; `service` is the name Sentinels know the set by.
    """

    kind: Kind
    url: str = field(default="", repr=False)
    hosts: tuple[tuple[str, int], ...] = ()
    service: str = ""
    db: int = 0
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_password: str | None = field(default=None, repr=False)
    has_tls: bool = False


def parse_address(url: str) -> RedisAddress:
    """Read a URL.

    Raises:
        BadRedisUrl: of Sentinels or a Cluster, and without hosts, name, or with a bad port or db.
    """
    scheme, plus, kind = url.partition("://")[0].partition("+")
    if not plus:
        return RedisAddress(Kind.SERVER, url)
    if scheme not in {"redis", "rediss"} or kind not in {Kind.SENTINEL, Kind.CLUSTER}:
        raise BadRedisUrl("Redis is at redis://, redis+sentinel:// or redis+cluster://")
    is_cluster = kind == Kind.CLUSTER
    try:
        parts = urlsplit(url)
    except ValueError:
        raise BadRedisUrl("not a URL: signs in a password are to be %-encoded") from None
    login, _, names = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    service, _, db = parts.path.strip("/").partition("/")
    if is_cluster and service not in {"", "0"}:
        raise BadRedisUrl("a Redis Cluster has no databases but 0")
    if not is_cluster and not service:
        raise BadRedisUrl("the name of the set is missing: redis+sentinel://host:26379/name")
    secrets = parse_qs(parts.query).get("sentinel_password", [""])
    return RedisAddress(
        Kind(kind),
        hosts=_read_hosts(names, _REDIS_PORT if is_cluster else _SENTINEL_PORT),
        service="" if is_cluster else unquote(service),
        db=_read_number(db or "0", "database"),
        user=unquote(user) or None,
        password=unquote(password) or None,
        sentinel_password=secrets[0] or None,
        has_tls=scheme == "rediss",
    )


def _read_hosts(names: str, default_port: int) -> tuple[tuple[str, int], ...]:
    hosts = []
    for name in filter(None, names.split(",")):
        host, has_port, port = name.rpartition(":")
        if not has_port or port.endswith("]"):
            host, port = name, str(default_port)
        hosts.append((host.strip("[]"), _read_number(port, "port", most=65_535)))
    if not hosts:
        raise BadRedisUrl("no host is named")
    return tuple(hosts)


def _read_number(text: str, what: str, *, most: int = 9999) -> int:
    if not text.isdecimal() or len(text) > 5 or int(text) > most:
        raise BadRedisUrl(f"not a {what}")
    return int(text)
