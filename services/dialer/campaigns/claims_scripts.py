"""The scripts of rows in hand; the prefix is always their first argument."""

from __future__ import annotations

from typing import Final

from services.dialer.campaigns.scripts import OF_CAMPAIGN

# ARGV: prefix, how many. Running campaigns, the most urgent first.
OUTLOOK: Final = (
    OF_CAMPAIGN
    + """
local found = {}
for _, id in ipairs(redis.call('ZREVRANGE', D .. 'running', 0, tonumber(ARGV[2]) - 1)) do
  local held = fields(id, 'priority', 'revision', 'total', 'next')
  local due = redis.call('ZRANGE', key('due', id), 0, 0, 'WITHSCORES')
  found[#found + 1] = {id, num(held[1]), num(held[2]), num(held[3]) - num(held[4]), due[2] or ''}
end
return found
"""
)

# ARGV: prefix, id, lease, wall_ms, how many, lease_ms. Rows that are due, those first that were
# in hand before.
LEASE: Final = (
    OF_CAMPAIGN
    + """
local id, limit, leased = ARGV[2], tonumber(ARGV[5]), {}
local held = fields(id, 'state', 'total', 'next')
if held[1] ~= 'running' then return leased end
local function lease(n)
  local row = news_of(id, n)
  row.s, row.l = 'leased', ARGV[3]
  tell_row(id, n, row)
  redis.call('ZADD', key('leased', id), now_ms + tonumber(ARGV[6]), n)
  leased[#leased + 1] = {n, redis.call('HGET', key('rows', id), n), cjson.encode(row)}
end
local due = redis.call('ZRANGEBYSCORE', key('due', id), '-inf', ARGV[4], 'LIMIT', 0, limit)
for _, n in ipairs(due) do
  redis.call('ZREM', key('due', id), n)
  lease(tonumber(n))
end
local last = num(held[3])
while #leased < limit and last < num(held[2]) do
  last = last + 1
  lease(last)
end
redis.call('HSET', key('campaign', id), 'next', last)
return leased
"""
)

# ARGV: prefix, id, lease, then n, due_ms of each row. Nobody was dialled.
GIVE_BACK: Final = (
    OF_CAMPAIGN
    + """
local id, state, given = ARGV[2], state_of(ARGV[2]), 0
for i = 4, #ARGV, 2 do
  local n, row = tonumber(ARGV[i]), news_of(id, ARGV[i])
  if row and row.s == 'leased' and row.l == ARGV[3] then
    redis.call('ZREM', key('leased', id), n)
    if state == 'cancelled' then
      end_with(id, n, row, 'cancelled')
    else
      wait_until(id, n, row, tonumber(ARGV[i + 1]))
    end
    given = given + 1
  end
end
return given
"""
)

# ARGV: prefix, id, lease, n, outcome, wall_ms. A row ends without having been dialled now.
END: Final = (
    OF_CAMPAIGN
    + """
local id, n = ARGV[2], tonumber(ARGV[4])
local row = news_of(id, n)
if not row or row.s ~= 'leased' or row.l ~= ARGV[3] then return 0 end
redis.call('ZREM', key('leased', id), n)
end_with(id, n, row, ARGV[5])
finish_if_done(id, ARGV[6])
return 1
"""
)

# ARGV: prefix, id, n, call id
PLACED: Final = (
    OF_CAMPAIGN
    + """
local row = news_of(ARGV[2], ARGV[3])
if not row or row.s ~= 'asking' or row.c ~= ARGV[4] then return 0 end
row.s = 'placed'
tell_row(ARGV[2], ARGV[3], row)
return 1
"""
)

# ARGV: prefix, id, n, call id, due_ms. Vobiz was not asked, or did not dial: the try is none.
NOT_DIALLED: Final = (
    OF_CAMPAIGN
    + """
local id, n, call = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local row = news_of(id, n)
if not row or row.s ~= 'asking' or row.c ~= call then return 0 end
redis.call('DEL', D .. 'of-call:' .. call)
redis.call('ZREM', D .. 'slots', call)
redis.call('ZREM', key('slots', id), call)
redis.call('ZREM', key('open', id), n)
row.a, row.c = row.a - 1, nil
if row.h and #row.h > 0 then row.c = row.h[#row.h][3] end
if state_of(id) == 'cancelled' then
  end_with(id, n, row, 'cancelled')
else
  wait_until(id, n, row, tonumber(ARGV[5]))
end
return 1
"""
)

# ARGV: prefix, call id, Vobiz's id ('' where it is not known), keep_ms. The channel is free in the
# next second, however often this comes.
FREE: Final = (
    OF_CAMPAIGN
    + """
if ARGV[3] ~= '' then redis.call('SET', D .. 'tied:' .. ARGV[3], ARGV[2], 'NX', 'PX', ARGV[4]) end
redis.call('ZADD', D .. 'slots', 'XX', 'LT', now_ms + 1000, ARGV[2])
return redis.call('ZREM', D .. 'asked', ARGV[2])
"""
)

# ARGV: prefix, id, n, call id, outcome, at_ms, due_ms of the next try ('' for none), wall_ms,
# outcomes kept for the judge. Applied once, however often it comes.
SETTLE: Final = (
    OF_CAMPAIGN
    + """
local id, n, call, outcome = ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
redis.call('DEL', D .. 'of-call:' .. call)
redis.call('ZADD', D .. 'slots', 'XX', 'LT', now_ms + 1000, call)
redis.call('ZADD', key('slots', id), 'XX', 'LT', now_ms + 1000, call)
local row, state = news_of(id, n), state_of(id)
if not row or (row.s ~= 'asking' and row.s ~= 'placed') or row.c ~= call then return '' end
redis.call('ZREM', key('open', id), n)
row.h = row.h or {}
row.h[#row.h + 1] = {tonumber(ARGV[6]), outcome, call}
count(id, 'tries:' .. outcome, 1)
redis.call('LPUSH', key('recent', id), outcome)
redis.call('LTRIM', key('recent', id), 0, tonumber(ARGV[9]) - 1)
if ARGV[7] ~= '' and (state == 'running' or state == 'paused') then
  wait_until(id, n, row, tonumber(ARGV[7]))
  return 'waiting'
end
end_with(id, n, row, outcome)
finish_if_done(id, ARGV[8])
return 'ended'
"""
)

# ARGV: prefix, id, n. All that decides how a try is settled.
CASE: Final = (
    OF_CAMPAIGN
    + """
local id, n = ARGV[2], ARGV[3]
local held = fields(id, 'spec', 'state')
if not held[1] then return {} end
local row, told = redis.call('HGET', key('rows', id), n), redis.call('HGET', key('told', id), n)
return {held[1], held[2], row or '', told or '', redis.call('LRANGE', key('recent', id), 0, -1)}
"""
)

# ARGV: prefix, wall_ms, most rows of a campaign. Lapsed leases, what is left of cancelled
# campaigns, and those that are done.
SWEEP: Final = (
    OF_CAMPAIGN
    + """
local lapsed, finished, is_busy = 0, 0, 0
for _, id in ipairs(redis.call('SMEMBERS', D .. 'live')) do
  local is_cancelled = state_of(id) == 'cancelled'
  local late = redis.call('ZRANGEBYSCORE', key('leased', id), '-inf', now_ms, 'LIMIT', 0, ARGV[3])
  for _, n in ipairs(late) do
    redis.call('ZREM', key('leased', id), n)
    local row = news_of(id, n)
    if row.s == 'leased' then
      lapsed = lapsed + 1
      wait_until(id, n, row, tonumber(ARGV[2]))
    end
  end
  if is_cancelled then
    local waiting = redis.call('ZRANGE', key('due', id), 0, tonumber(ARGV[3]) - 1)
    if #waiting == tonumber(ARGV[3]) then is_busy = 1 end
    for _, n in ipairs(waiting) do
      redis.call('ZREM', key('due', id), n)
      end_with(id, n, news_of(id, n), 'cancelled')
    end
  end
  if finish_if_done(id, ARGV[2]) then finished = finished + 1 end
end
return {lapsed, finished, is_busy}
"""
)

# ARGV: prefix, how many, again_ms. Open rows that are to be looked at, and one-off calls: who
# gets them has them for a while.
TO_LOOK_AT: Final = (
    OF_CAMPAIGN
    + """
local rows, calls, limit = {}, {}, tonumber(ARGV[2])
local again_ms = now_ms + tonumber(ARGV[3])
for _, id in ipairs(redis.call('SMEMBERS', D .. 'live')) do
  if #rows >= limit then break end
  for _, n in ipairs(redis.call('ZRANGEBYSCORE', key('open', id), '-inf', now_ms, 'LIMIT', 0,
                                limit - #rows)) do
    redis.call('ZADD', key('open', id), again_ms, n)
    rows[#rows + 1] = {id, n, redis.call('HGET', key('rows', id), n),
                       redis.call('HGET', key('told', id), n)}
  end
end
local asked = redis.call('ZRANGEBYSCORE', D .. 'asked', '-inf', now_ms, 'LIMIT', 0, limit)
for _, call in ipairs(asked) do
  redis.call('ZADD', D .. 'asked', again_ms, call)
  calls[#calls + 1] = call
end
return {rows, calls}
"""
)

# ARGV: prefix, in_ms, call id, id ('' for none), n. Of a row whose newest call is another by now
# nothing changes: that one's time has not come.
LOOK_AGAIN: Final = (
    OF_CAMPAIGN
    + """
local at_ms = now_ms + tonumber(ARGV[2])
if ARGV[4] == '' then return redis.call('ZADD', D .. 'asked', 'XX', at_ms, ARGV[3]) end
local row = news_of(ARGV[4], ARGV[5])
if not row or row.c ~= ARGV[3] then return 0 end
return redis.call('ZADD', key('open', ARGV[4]), 'XX', at_ms, ARGV[5])
"""
)

# ARGV: prefix, id, most often. Tells how far a campaign is, at most once in a while.
TELL_PROGRESS: Final = (
    OF_CAMPAIGN
    + """
if not state_of(ARGV[2]) then return 1 end
if not redis.call('SET', D .. 'told-of:' .. ARGV[2], 1, 'NX', 'PX', ARGV[3]) then return 0 end
tell(ARGV[2], 'progress')
return 1
"""
)

# ARGV: prefix. Campaigns by state and rows by where they stand, for the figures.
CENSUS: Final = (
    OF_CAMPAIGN
    + """
local states, waiting, leased, open = {}, 0, 0, 0
for _, id in ipairs(redis.call('SMEMBERS', D .. 'live')) do
  local held = fields(id, 'state', 'total', 'next')
  states[#states + 1] = held[1]
  waiting = waiting + num(held[2]) - num(held[3]) + redis.call('ZCARD', key('due', id))
  leased = leased + redis.call('ZCARD', key('leased', id))
  open = open + redis.call('ZCARD', key('open', id))
end
return {states, waiting, leased, open}
"""
)

# ARGV: prefix, call id, Vobiz's id, keep_ms, id ('' for none), n. Whose call of Vobiz's it is: the
# first's that says so while it is open. One that is settled may find its row's next call.
TIE: Final = (
    OF_CAMPAIGN
    + """
if ARGV[5] == '' then
  if not redis.call('ZSCORE', D .. 'asked', ARGV[2]) then return 'over' end
else
  local row = news_of(ARGV[5], ARGV[6])
  if not row or row.c ~= ARGV[2] or (row.s ~= 'asking' and row.s ~= 'placed') then return 'over' end
end
local tied = D .. 'tied:' .. ARGV[3]
if redis.call('SET', tied, ARGV[2], 'NX', 'PX', ARGV[4]) then return 'tied' end
return redis.call('GET', tied) == ARGV[2] and 'tied' or 'taken'
"""
)

# ARGV: prefix. Calls whose channel is not free yet.
SLOTS: Final = (
    OF_CAMPAIGN
    + """
redis.call('ZREMRANGEBYSCORE', D .. 'slots', '-inf', now_ms)
return redis.call('ZRANGE', D .. 'slots', 0, -1)
"""
)
