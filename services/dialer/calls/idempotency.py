"""Idempotency-Key: a request that comes again is answered again, and its call dialled once.

What a key was used for is written down before anything is done, with the id its call will have.
That id is the fence: whoever finds the key taken by somebody who never answered places the same id,
and of all who place one id the first alone dials (see Dialer.place).

    {parley}:dial:idem:<principal>:<hash of the key>   JSON, 24 hours

Source: draft-ietf-httpapi-idempotency-key-header-07; where it says 422 for another request under
the same key, 409 is answered here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.dialer.desk.door import Principal
from services.dialer.problems import Problem, Refused
from shared.bus.redis.store import Store
from shared.protocol.call import CallId

KEPT_S = 86_400.0
KEY_PATTERN = r'^([!#-~]{1,200}|"[!#-~]{1,200}")$'
"""1 to 200 visible ASCII characters, perhaps in quotes, as of a structured header."""

# ARGV: prefix, name, fingerprint, call id, lease_ms, kept_ms
_BEGIN = """
local key = ARGV[1] .. ':dial:idem:' .. ARGV[2]
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local lease_ms = tonumber(ARGV[5])
local text = redis.call('GET', key)
if not text then
  local made = {fingerprint = ARGV[3], call_id = ARGV[4], until_ms = now_ms + lease_ms}
  redis.call('SET', key, cjson.encode(made), 'PX', ARGV[6])
  return {'begun', ARGV[4]}
end
local known = cjson.decode(text)
if known.fingerprint ~= ARGV[3] then return {'other'} end
if known.status then return {'answered', tostring(known.status), known.body, known.call_id} end
if known.until_ms > now_ms then return {'under_way'} end
known.until_ms = now_ms + lease_ms
redis.call('SET', key, cjson.encode(known), 'KEEPTTL')
return {'again', known.call_id}
"""

# ARGV: prefix, name, fingerprint, call id, status, body
_FINISH = """
local key = ARGV[1] .. ':dial:idem:' .. ARGV[2]
local text = redis.call('GET', key)
if not text then return 0 end
local known = cjson.decode(text)
if known.fingerprint ~= ARGV[3] or known.call_id ~= ARGV[4] or known.status then return 0 end
known.status, known.body, known.until_ms = tonumber(ARGV[5]), ARGV[6], nil
redis.call('SET', key, cjson.encode(known), 'KEEPTTL')
return 1
"""

# ARGV: prefix, name, call id. The id stays, because somebody slow may still be about to place it.
_RELEASE = """
local key = ARGV[1] .. ':dial:idem:' .. ARGV[2]
local text = redis.call('GET', key)
if not text then return 0 end
local known = cjson.decode(text)
if known.call_id ~= ARGV[3] or known.status then return 0 end
known.until_ms = 0
redis.call('SET', key, cjson.encode(known), 'KEEPTTL')
return 1
"""


@dataclass(frozen=True, slots=True)
class Begun:
    """A request that is to be carried out, for the call of this id.

    `is_again`: somebody has begun it before and never answered.
    """

    name: str
    fingerprint: str
    call_id: CallId
    is_again: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was answered before, and how."""

    status: int
    body: dict[str, Any]
    call_id: CallId


class Idempotency:
    """What keys were used for.

    Args:
        store: the Redis.
        lease_s: how long a request may take; who is silent for longer is taken for dead.
    """

    def __init__(self, store: Store, *, lease_s: float) -> None:
        self._store = store
        self._lease_ms = int(lease_s * 1000)

    async def begin(
        self, who: Principal, key: str, fingerprint: str, call_id: CallId
    ) -> Begun | Answered:
        """Take a key for a request, or return what it was answered.

        Args:
            who: keys of different principals have nothing to do with each other.
            key: see `read_key`.
            fingerprint: of the request, see `fingerprint_of`.
            call_id: what the call will be called, if this is the first request.

        Raises:
            Refused: 409, the key belongs to another request, or its request is under way.
            BusUnavailable: nobody knows.
        """
        hashed = hashlib.sha256(key.encode()).hexdigest()
        name = f"{who.key_id or who.name}:{hashed}"
        args = (fingerprint, call_id, self._lease_ms, int(KEPT_S * 1000))
        answer = await self._store.script("idempotency_begin", _BEGIN, name, *args)
        match answer:
            case ["begun" | "again" as how, taken]:
                return Begun(name, fingerprint, CallId(taken), is_again=how == "again")
            case ["answered", status, body, taken]:
                return Answered(int(status), json.loads(body), CallId(taken))
            case ["under_way"]:
                raise Refused(Problem.of("key-in-use", retry_after_s=1))
            case _:
                raise Refused(Problem.of("key-used-otherwise", "Take a new one."))

    async def finish(self, begun: Begun, status: int, body: Mapping[str, Any]) -> None:
        """Keep an answer, unless there is one. Raises BusUnavailable."""
        text = json.dumps(body, separators=(",", ":"))
        args = (begun.fingerprint, begun.call_id, status, text)
        await self._store.script("idempotency_finish", _FINISH, begun.name, *args)

    async def release(self, begun: Begun) -> None:
        """Say that nothing was done and the same may be tried again. Raises BusUnavailable."""
        await self._store.script("idempotency_release", _RELEASE, begun.name, begun.call_id)


def read_key(header: str) -> str | None:
    """Return the key of a header that fits KEY_PATTERN, without quotes; None: there is none."""
    return header.strip('"') or None


def fingerprint_of(method: str, path: str, body: Mapping[str, Any]) -> str:
    """Return what tells requests apart: equal for equal JSON, however it is written."""
    text = json.dumps([method, path, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
