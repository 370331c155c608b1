"""The keys: made here, known by their hash alone, revoked but not forgotten.

A key reads `parley_<id>_<secret>`. The id is public: it names the key in lists and on the trail,
and finds its record without a search. The secret is 256 random bits, so a plain SHA-256 of it can't
be turned around by trying; it is told once, when the key is made.

    {parley}:dial:keys       hash id -> JSON: name, scopes, hash, rate_per_minute, times
    {parley}:dial:keys:used  hash id -> when it was last used, Unix seconds, within a minute
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from services.dialer.desk.door import Principal, Scope
from shared.bus.redis.store import Store

KEYS_MAX = 1000
_ID_BYTES = 6
_SECRET_BYTES = 32
_KEY = re.compile(r"parley_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
KEY_ID = re.compile(r"^[0-9a-f]{12}$", re.ASCII)
_NOTE_USE_EVERY_S = 60.0

# ARGV: prefix, id, record, most. Room is made by forgetting keys that are revoked.
_ADD = """
local name = ARGV[1] .. ':dial:keys'
if redis.call('HLEN', name) >= tonumber(ARGV[4]) then
  local all = redis.call('HGETALL', name)
  for i = 1, #all, 2 do
    if cjson.decode(all[i + 1]).revoked_at then
      redis.call('HDEL', name, all[i])
      redis.call('HDEL', name .. ':used', all[i])
    end
  end
end
if redis.call('HLEN', name) >= tonumber(ARGV[4]) then return 0 end
return redis.call('HSETNX', name, ARGV[2], ARGV[3])
"""

# ARGV: prefix, id, now
_REVOKE = """
local name = ARGV[1] .. ':dial:keys'
local text = redis.call('HGET', name, ARGV[2])
if not text then return 0 end
local record = cjson.decode(text)
if not record.revoked_at then
  record.revoked_at, record.hash = ARGV[3], ''
  redis.call('HSET', name, ARGV[2], cjson.encode(record))
end
return 1
"""


class TooManyKeys(Exception):
    """As many keys as may be are in use."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is known of a key. Times are ISO-8601 UTC texts; `rate_per_minute` None: the default."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    rate_per_minute: int | None
    created_at: str
    revoked_at: str | None = None
    last_used_at: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what the API shows."""
        return {
            "id": self.key_id,
            "name": self.name,
            "scopes": list(self.scopes),
            "rate_per_minute": self.rate_per_minute,
            "created_at": self.created_at,
            "revoked_at": self.revoked_at,
            "last_used_at": self.last_used_at,
        }


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key; its text is here alone."""

    record: KeyRecord
    text: str = field(repr=False)


class KeyRing:
    """All keys but the root key.

    Args:
        store: the Redis they are in.
        rate_per_minute: of keys that say nothing of it; None: as often as they like.
    """

    def __init__(self, store: Store, *, rate_per_minute: int | None = None) -> None:
        self._store = store
        self._rate_per_minute = rate_per_minute
        self._noted_s: dict[str, float] = {}

    @property
    def _name(self) -> str:
        return f"{self._store.prefix}:dial:keys"

    async def make(
        self, name: str, scopes: Collection[Scope], rate_per_minute: int | None = None
    ) -> MadeKey:
        """Make a key.

        Raises:
            TooManyKeys: there are KEYS_MAX, none of them revoked.
            BusUnavailable: there may be a key that nobody was told.
        """
        key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
        record = KeyRecord(
            key_id, name, tuple(sorted(scopes)), rate_per_minute, _iso(datetime.now(UTC))
        )
        kept = {
            "name": name,
            "scopes": list(record.scopes),
            "hash": _hash(secret),
            "rate_per_minute": rate_per_minute,
            "created_at": record.created_at,
            "revoked_at": False,  # Lua would take a null for something
        }
        text = json.dumps(kept, separators=(",", ":"))
        if not await self._store.script("key_add", _ADD, key_id, text, KEYS_MAX):
            raise TooManyKeys
        return MadeKey(record, f"parley_{key_id}_{secret}")

    async def revoke(self, key_id: str) -> bool:
        """Make a key worthless from now on, for ever; False when there is none of that id."""
        if not KEY_ID.fullmatch(key_id):
            return False
        now = _iso(datetime.now(UTC))
        return bool(await self._store.script("key_revoke", _REVOKE, key_id, now))

    async def all(self) -> list[KeyRecord]:
        """Return what is known of the keys, revoked ones too, newest first."""
        redis = self._store.redis
        kept = await self._store.run("keys_list", redis.hgetall(self._name))
        used = await self._store.run("keys_list", redis.hgetall(f"{self._name}:used"))
        records = [_read(key_id, json.loads(text), used) for key_id, text in kept.items()]
        return sorted(records, key=lambda record: (record.created_at, record.key_id), reverse=True)

    async def judge(self, key: str) -> Principal | None:
        """Return whose key it is; None for one that is unknown, wrong or revoked.

        Raises:
            BusUnavailable: nobody knows.
        """
        parts = _KEY.fullmatch(key)
        if parts is None:
            return None
        key_id, secret = parts.groups()
        text = await self._store.run("key_get", self._store.redis.hget(self._name, key_id))
        kept: dict[str, Any] = json.loads(text) if text else {"hash": ""}
        if not hmac.compare_digest(_hash(secret), kept["hash"]) or kept["revoked_at"]:
            return None
        await self._note_use(key_id)
        return Principal(
            kept["name"],
            key_id,
            frozenset(Scope(scope) for scope in kept["scopes"] if scope in _SCOPES),
            kept["rate_per_minute"] or self._rate_per_minute,
        )

    async def _note_use(self, key_id: str) -> None:
        now_s = time.monotonic()
        if now_s - self._noted_s.get(key_id, -_NOTE_USE_EVERY_S) < _NOTE_USE_EVERY_S:
            return
        if len(self._noted_s) >= 2 * KEYS_MAX:
            self._noted_s.clear()
        self._noted_s[key_id] = now_s
        used = self._store.redis.hset(f"{self._name}:used", key_id, str(int(time.time())))
        await self._store.run("key_used", used)


_SCOPES = frozenset(scope.value for scope in Scope)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _read(key_id: str, kept: dict[str, Any], used: dict[str, str]) -> KeyRecord:
    last_used_s = used.get(key_id)
    return KeyRecord(
        key_id,
        kept["name"],
        tuple(kept["scopes"]),
        kept["rate_per_minute"],
        kept["created_at"],
        kept["revoked_at"] or None,
        _iso(datetime.fromtimestamp(int(last_used_s), UTC)) if last_used_s else None,
    )


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="seconds")
