"""What the ledger's scripts have in common, in Lua: keys, a row's news, events, ends.

Keys of a campaign, all in the prefix's hash slot; `next` is how many rows were ever leased: a row
after that waits, has no news, and costs its text alone.

    :dial:campaigns            campaign ids by creation   :dial:running  running ones by priority
    :dial:live                 ids of those with anything to look after
    :dial:campaign:<id>        hash: spec, state, reason, times, total, next, tries:*, ended:*
    :dial:rows:<id>            hash n -> the row as it was added, JSON
    :dial:told:<id>            hash n -> what is told of it since, JSON, see below
    :dial:numbers:<id>         set of its numbers, until it is over
    :dial:due:<id>             n by when they may be dialled: rows that wait and have news
    :dial:leased:<id>          n by end of lease              :dial:open:<id>  n by next look
    :dial:recent:<id>          newest outcomes of tries
    :dial:lists:<id>           hash: each list that is not wholly added yet -> its rows, how many of
                               them are done, until when more are to come
    :dial:of-call:<call>       "<campaign> <n>", while that call is the row's open one
    :dial:slots, :dial:slots:<id>    call ids by when their channel is free at the latest
    :dial:grants, :dial:grants:<id>  call ids by when they were granted
    :dial:asked                one-off calls by next look     :dial:hold, :dial:pace   after a 429
    :dial:tied:<Vobiz's id>    the call that was found to be this one

A row's news: s state, a attempts, c call id, o outcome, d due_ms, l lease, h history of
[at_ms, outcome, call id]. Due times are the caller's wall clock, so that a test may hold its hands;
all others are Redis's.
"""

from __future__ import annotations

from typing import Final

from shared.bus.redis.events import EMIT, EVENT_RETENTION_S
from shared.bus.redis.workers import NOW_MS

# Every script has the prefix first among its arguments.
BASE: Final = (
    EMIT
    + NOW_MS
    + f"""
local prefix = ARGV[1]
local D = prefix .. ':dial:'
local RETENTION_MS = {int(EVENT_RETENTION_S * 1000)}
"""
    + """
local function num(text) return tonumber(text or '0') or 0 end
"""
)

# Functions of a campaign id, so that one script may go through several.
OF_CAMPAIGN: Final = (
    BASE
    + """
local function key(name, id) return D .. name .. ':' .. id end
local function fields(id, ...) return redis.call('HMGET', key('campaign', id), ...) end
local function state_of(id) return redis.call('HGET', key('campaign', id), 'state') end
local function count(id, name, by) redis.call('HINCRBY', key('campaign', id), name, by) end
local function news_of(id, n)
  local text = redis.call('HGET', key('told', id), n)
  if text then return cjson.decode(text) end
  local held = fields(id, 'total', 'next', 'stopped_at')
  if num(n) < 1 or num(n) > num(held[1]) then return nil end
  if held[3] and num(n) > num(held[3]) then return {s = 'ended', a = 0, o = 'cancelled'} end
  return {s = 'waiting', a = 0}
end
local function tell_row(id, n, row) redis.call('HSET', key('told', id), n, cjson.encode(row)) end
local function wait_until(id, n, row, due_ms)
  row.s, row.l, row.d = 'waiting', nil, due_ms
  tell_row(id, n, row)
  redis.call('ZADD', key('due', id), due_ms + n / 1000, n)
end
local function end_with(id, n, row, outcome)
  row.s, row.l, row.d, row.o = 'ended', nil, nil, outcome
  tell_row(id, n, row)
  count(id, 'ended:' .. outcome, 1)
end
local function ended_rows(id)
  local held = redis.call('HGETALL', key('campaign', id))
  local ended = 0
  for i = 1, #held, 2 do
    if string.sub(held[i], 1, 6) == 'ended:' then ended = ended + num(held[i + 1]) end
  end
  return ended
end
local function talking(id)
  local number = 0
  for _, call in ipairs(redis.call('ZRANGE', key('slots', id), 0, -1)) do
    number = number + redis.call('EXISTS', prefix .. ':booked:' .. call)
  end
  return number
end
local function tell(id, kind)
  local held = fields(id, 'state', 'reason', 'total')
  local text = cjson.encode({channel = 'campaigns', kind = kind, call_id = cjson.null, data = {
    campaign = id, state = held[1], reason = held[2] or '', total = held[3] or '0',
    ended = tostring(ended_rows(id)), open = tostring(redis.call('ZCARD', key('open', id))),
    in_call = tostring(talking(id))}})
  emit(prefix, RETENTION_MS, 'campaigns', text)
end
local function is_at_rest(id)
  return redis.call('ZCARD', key('due', id)) == 0 and redis.call('ZCARD', key('leased', id)) == 0
    and redis.call('ZCARD', key('open', id)) == 0
end
local function close_up(id)
  redis.call('ZREM', D .. 'running', id)
  redis.call('UNLINK', key('numbers', id), key('recent', id), key('lists', id))
end
local function open_list(id, name, rows, filling_ms)
  local text = cjson.encode({rows = tonumber(rows), done = 0, til = now_ms + filling_ms})
  redis.call('HSET', key('lists', id), name, text)
end
-- Rows of lists that are not wholly added, all rows of these, whether somebody is at it.
local function missing(id)
  local left, rows, latest = 0, 0, 0
  for _, text in ipairs(redis.call('HVALS', key('lists', id))) do
    local list = cjson.decode(text)
    left, rows, latest = left + list.rows - list.done, rows + list.rows, math.max(latest, list.til)
  end
  return left, rows, latest > now_ms and 1 or 0
end
local function finish_if_done(id, wall_ms)
  if not is_at_rest(id) then return false end
  local held = fields(id, 'state', 'total', 'next', 'filling_until')
  if held[1] == 'running' then
    local _, unfinished, is_filling = missing(id)
    if num(held[3]) < num(held[2]) or num(held[4]) > now_ms or is_filling == 1 then return false end
    if unfinished > 0 then
      redis.call('HSET', key('campaign', id), 'state', 'paused', 'reason', 'incomplete_list')
      redis.call('ZREM', D .. 'running', id)
      tell(id, 'paused')
      return false
    end
    redis.call('HSET', key('campaign', id), 'state', 'finished', 'finished_ms', wall_ms)
    close_up(id)
    tell(id, 'finished')
  elseif held[1] ~= 'cancelled' and held[1] ~= 'finished' and held[1] then
    return false
  end
  redis.call('SREM', D .. 'live', id)
  return held[1] == 'running'
end
"""
)
