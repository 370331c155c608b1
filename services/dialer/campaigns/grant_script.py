"""The grant: the one script that says who may dial, and its sisters.

How full the account is: calls that workers have booked, whoever placed them, and calls that were
granted and that no worker has booked yet. A grant that is asked for again by the same call is that
call's old one renewed.
"""

from __future__ import annotations

from typing import Final

from services.dialer.campaigns.scripts import OF_CAMPAIGN
from shared.bus.redis.workers import COUNTED_WORKERS

# `room` returns nil, or how many ms to wait and for what. `limits`: cps, concurrency, margin_ms,
# kept_free (-1: no agent is needed).
_ROOM: Final = (
    OF_CAMPAIGN
    + COUNTED_WORKERS
    + """
local POLL_MS = 250
local function pace()
  local held = redis.call('HMGET', D .. 'pace', 'factor', 'at_ms', 'recover_ms')
  if not held[1] then return 1 end
  return math.min(1, tonumber(held[1]) + (now_ms - num(held[2])) / num(held[3]))
end
local function rate_wait(grants, call, cps, margin_ms)
  redis.call('ZREMRANGEBYSCORE', grants, '-inf', now_ms - 120000)
  redis.call('ZREM', grants, call)
  local most = math.max(1, math.floor(cps))
  local window_ms = math.max(1000, 1000 * most / cps) + margin_ms
  local nth = redis.call('ZREVRANGE', grants, most - 1, most - 1, 'WITHSCORES')
  if not nth[2] then return 0 end
  return math.max(0, math.ceil(tonumber(nth[2]) + window_ms - now_ms))
end
local function taken(slots, call)
  redis.call('ZREMRANGEBYSCORE', slots, '-inf', now_ms)
  local number = redis.call('ZCARD', slots)
  if redis.call('ZSCORE', slots, call) then number = number - 1 end
  return number
end
local function pool(call)
  local alive, booked, free = {}, 0, 0
  for _, row in ipairs(counted()) do
    alive[row[1]] = true
    booked = booked + row[3]
    local lease = cjson.decode(row[2])
    if not lease.draining then free = free + math.max(0, lease.capacity - row[3]) end
  end
  local unbooked = 0
  redis.call('ZREMRANGEBYSCORE', D .. 'slots', '-inf', now_ms)
  for _, other in ipairs(redis.call('ZRANGE', D .. 'slots', 0, -1)) do
    local holder = other ~= call and redis.call('GET', prefix .. ':booked:' .. other)
    if other ~= call and not (holder and alive[holder]) then unbooked = unbooked + 1 end
  end
  return booked, unbooked, free
end
local function room(call, id, limits)
  local hold = num(redis.call('GET', D .. 'hold')) - now_ms
  if hold > 0 then return hold, 'held' end
  local wait = rate_wait(D .. 'grants', call, limits.cps * pace(), limits.margin_ms)
  if wait > 0 then return wait, 'rate' end
  local booked, unbooked, free = pool(call)
  if booked + unbooked >= limits.concurrency then return POLL_MS, 'channels' end
  if id ~= '' then
    local own = fields(id, 'cps', 'concurrency')
    if own[1] and own[1] ~= '' then
      local own_wait = rate_wait(key('grants', id), call, tonumber(own[1]), limits.margin_ms)
      if own_wait > 0 then return own_wait, 'campaign_rate' end
    end
    if own[2] and own[2] ~= '' and taken(key('slots', id), call) >= tonumber(own[2]) then
      return POLL_MS, 'campaign_channels'
    end
  end
  if limits.kept_free >= 0 and free - unbooked - limits.kept_free < 1 then
    return POLL_MS, 'no_agent'
  end
  return nil
end
"""
)

# ARGV: prefix, call id, cps, concurrency, margin_ms, kept_free, id ('' for none), number,
# slot_ms, look_ms, then of a campaign's row: n, lease
GRANT: Final = (
    _ROOM
    + """
local call, id, n, row = ARGV[2], ARGV[7], ARGV[11], nil
if id ~= '' then
  row = news_of(id, n)
  local is_renewed = row and row.s == 'asking' and row.c == call
  if not is_renewed and not (row and row.s == 'leased' and row.l == ARGV[12]) then
    return {'lost'}
  end
  if state_of(id) ~= 'running' then return {'stopped'} end
end
if redis.call('HEXISTS', D .. 'dnc', ARGV[8]) == 1 then return {'do_not_call'} end
local limits = {cps = tonumber(ARGV[3]), concurrency = tonumber(ARGV[4]),
                margin_ms = tonumber(ARGV[5]), kept_free = tonumber(ARGV[6])}
local wait, why = room(call, id, limits)
if wait then return {'wait', wait, why} end
redis.call('ZADD', D .. 'grants', now_ms, call)
redis.call('PEXPIRE', D .. 'grants', 180000)
redis.call('ZADD', D .. 'slots', now_ms + tonumber(ARGV[9]), call)
if id == '' then
  redis.call('ZADD', D .. 'asked', now_ms + tonumber(ARGV[10]), call)
  return {'go'}
end
redis.call('ZADD', key('grants', id), now_ms, call)
redis.call('PEXPIRE', key('grants', id), 180000)
redis.call('ZADD', key('slots', id), now_ms + tonumber(ARGV[9]), call)
redis.call('PEXPIRE', key('slots', id), tonumber(ARGV[9]) + 60000)
if row.s == 'leased' then row.a = row.a + 1 end
row.s, row.l, row.d, row.c = 'asking', nil, nil, call
tell_row(id, n, row)
redis.call('ZREM', key('leased', id), n)
redis.call('ZADD', key('open', id), now_ms + tonumber(ARGV[10]), n)
redis.call('SET', D .. 'of-call:' .. call, id .. ' ' .. n)
return {'go'}
"""
)

# ARGV: prefix, call id, id ('' for none). A granted call's request went out now, later than its
# grant was good.
SENT: Final = (
    OF_CAMPAIGN
    + """
redis.call('ZADD', D .. 'grants', 'XX', now_ms, ARGV[2])
if ARGV[3] ~= '' then redis.call('ZADD', key('grants', ARGV[3]), 'XX', now_ms, ARGV[2]) end
return 1
"""
)

# ARGV: prefix, cps, concurrency, margin_ms, kept_free, id. Whether a grant is to be had now.
PEEK: Final = (
    _ROOM
    + """
local limits = {cps = tonumber(ARGV[2]), concurrency = tonumber(ARGV[3]),
                margin_ms = tonumber(ARGV[4]), kept_free = tonumber(ARGV[5])}
local wait, why = room('', ARGV[6], limits)
if wait then return {'wait', wait, why} end
return {'go'}
"""
)

# ARGV: prefix, call id. A one-off call that was granted and not dialled.
UNDO: Final = (
    OF_CAMPAIGN
    + """
redis.call('ZREM', D .. 'slots', ARGV[2])
return redis.call('ZREM', D .. 'asked', ARGV[2])
"""
)

# ARGV: prefix, wait_ms, share of the rate that stays (1: all), least share, recover_ms.
# Several refusals of the same moment slow the account down once.
HOLD: Final = (
    _ROOM
    + """
local until_ms = now_ms + tonumber(ARGV[2])
if until_ms > num(redis.call('GET', D .. 'hold')) then
  redis.call('SET', D .. 'hold', string.format('%d', until_ms), 'PX', ARGV[2])
end
local share = tonumber(ARGV[3])
if share < 1 and now_ms - num(redis.call('HGET', D .. 'pace', 'at_ms')) > 1000 then
  local factor = math.max(tonumber(ARGV[4]), pace() * share)
  redis.call('HSET', D .. 'pace', 'factor', factor, 'at_ms', now_ms, 'recover_ms', ARGV[5])
  redis.call('PEXPIRE', D .. 'pace', ARGV[5])
end
return 1
"""
)

# ARGV: prefix, cps, concurrency, margin_ms
USE: Final = (
    _ROOM
    + """
local booked, unbooked, free = pool('')
local hold = math.max(0, num(redis.call('GET', D .. 'hold')) - now_ms)
return {booked + unbooked, free - unbooked, hold, string.format('%.3f', pace())}
"""
)
