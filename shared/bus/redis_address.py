"""PURE. Where Redis is: one server, a set watched by Sentinels, or a Cluster, all in one URL.

    redis://[user:password@]host[:6379][/db]                       one server; rediss:// with TLS
    unix://[user:password@]/path[?db=n]                            the same by a socket of its host
    redis+sentinel://[user:password@]host[:26379],host.../name[/db]  Sentinels, and the set's name
    redis+cluster://[user:password@]host[:6379],host...            some nodes of a Cluster

`rediss+sentinel` and `rediss+cluster` are the same with TLS. User and password are Redis's own;
the Sentinels' go in the query: `?sentinel_password=...`. The query of one server may hold options
of redis-py's connection, as `?ssl_ca_certs=/path`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

_SENTINEL_PORT, _REDIS_PORT = 26379, 6379
_SCHEMES = {
    *("redis", "redis+sentinel", "redis+cluster", "unix"),
    *("rediss", "rediss+sentinel", "rediss+cluster"),
}
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+(%\w+)?\]|[\w.%-]+")
_NUMBER, _SPACE = re.compile(r"[0-9]+"), re.compile(r"[\s\x00-\x1f]")
_ENCODE = "signs in a password are to be %-encoded"

# What redis-py's connections may be told in a query. Most others it would refuse at the first
# command, by a TypeError; how long a command may take is for REDIS_TIMEOUT_S to say.
_NUMBERS = frozenset({"db", "health_check_interval", "max_connections", "socket_read_size"})
_OPTIONS = _NUMBERS | {"username", "password", "client_name"}
_TLS_OPTIONS = frozenset(
    {
        *("ssl_keyfile", "ssl_certfile", "ssl_password", "ssl_cert_reqs", "ssl_check_hostname"),
        *("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_ciphers"),
    }
)
_CERT_REQS = {"none", "optional", "required"}


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
        BadRedisUrl: no such URL; or a host, port, name, database or option is missing or wrong.
    """
    scheme, _, _ = url.partition("://")
    secure, _, kind = scheme.lower().partition("+")
    if scheme.lower() not in _SCHEMES:
        raise BadRedisUrl("must begin with redis://, redis+sentinel:// or redis+cluster://")
    if "#" in url or _SPACE.search(url):
        raise BadRedisUrl(f"has a # or a space in it: {_ENCODE}")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise BadRedisUrl(f"not a URL: {_ENCODE}") from None
    if not kind:
        _check_server(secure, parts)
        return RedisAddress(Kind.SERVER, url)
    return _many_hosts(Kind(kind), parts, has_tls=secure == "rediss")


def redis_place(url: str) -> str:
    """Return where a Redis is for somebody to read: no user, password or option.

    Raises:
        BadRedisUrl: see parse_address.
    """
    parse_address(url)
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{hosts}{parts.path}"


def _check_server(scheme: str, parts: SplitResult) -> None:
    if scheme == "unix":
        if not parts.path.strip("/"):
            raise BadRedisUrl("no socket is named: unix:///run/redis.sock")
    else:
        _, _, name = parts.netloc.rpartition("@")
        if "," in name:
            raise BadRedisUrl("several hosts: redis+sentinel://host,host/name or redis+cluster://")
        _read_hosts(name, _REDIS_PORT)
        _read_number(parts.path.strip("/") or "0", "database")
    known = _OPTIONS | (_TLS_OPTIONS if scheme == "rediss" else frozenset())
    options = _options(parts, known)
    for name in _NUMBERS & options.keys():
        if not _NUMBER.fullmatch(options[name][0]):
            raise BadRedisUrl(f"{name} is not a number")
    if options.get("ssl_cert_reqs", ["none"])[0] not in _CERT_REQS:
        raise BadRedisUrl("ssl_cert_reqs is none, optional or required")


def _options(parts: SplitResult, known: frozenset[str]) -> dict[str, list[str]]:
    """Return what the query says. Names are not repeated: a ? in a password makes one of it."""
    options = parse_qs(parts.query, keep_blank_values=True)
    if not known.issuperset(options):
        raise BadRedisUrl(f"has an option after the ? that is not known here; {_ENCODE}")
    return options


def _many_hosts(kind: Kind, parts: SplitResult, *, has_tls: bool) -> RedisAddress:
    is_cluster = kind is Kind.CLUSTER
    login, _, names = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    service, _, db = parts.path.strip("/").partition("/")
    if is_cluster and service not in {"", "0"}:
        raise BadRedisUrl("a Redis Cluster has no databases but 0")
    if not is_cluster and not service:
        raise BadRedisUrl("the name of the set is missing: redis+sentinel://host:26379/name")
    known = frozenset() if is_cluster else frozenset({"sentinel_password"})
    secrets = _options(parts, known).get("sentinel_password", [""])
    return RedisAddress(
        kind,
        hosts=_read_hosts(names, _REDIS_PORT if is_cluster else _SENTINEL_PORT),
        service="" if is_cluster else unquote(service),
        db=_read_number(db or "0", "database"),
        user=unquote(user) or None,
        password=unquote(password) or None,
        sentinel_password=secrets[0] or None,
        has_tls=has_tls,
    )


def _read_hosts(names: str, default_port: int) -> tuple[tuple[str, int], ...]:
    hosts = []
    for name in filter(None, names.split(",")):
        host, has_port, port = name.rpartition(":")
        if not has_port or port.endswith("]"):
            host, port = name, str(default_port)
        if not _HOST.fullmatch(host):
            raise BadRedisUrl(f"a host is missing, or is none: {_ENCODE}")
        hosts.append((host.strip("[]"), _read_number(port, "port", least=1, most=65_535)))
    if not hosts:
        raise BadRedisUrl("no host is named: redis://host:6379/0")
    return tuple(hosts)


def _read_number(text: str, what: str, *, least: int = 0, most: int = 9999) -> int:
    if not _NUMBER.fullmatch(text) or len(text) > 5 or not least <= int(text) <= most:
        raise BadRedisUrl(f"the {what} is none of {least} to {most}; {_ENCODE}")
    return int(text)
