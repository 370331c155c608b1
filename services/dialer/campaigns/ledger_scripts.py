"""The scripts of the ledger's campaigns; ARGV[1] is always the prefix, ARGV[2] the id."""

from __future__ import annotations

from typing import Final

from services.dialer.campaigns.scripts import OF_CAMPAIGN

# ARGV: prefix, id, created_ms, priority, cps, concurrency ('' for none), spec, then of the list it
# is made of: name ('' for none), rows, filling_ms
CREATE: Final = (
    OF_CAMPAIGN
    + """
local id = ARGV[2]
if redis.call('EXISTS', key('campaign', id)) == 1 then return 0 end
redis.call('HSET', key('campaign', id), 'state', 'ready', 'created_ms', ARGV[3], 'priority',
           ARGV[4], 'cps', ARGV[5], 'concurrency', ARGV[6], 'spec', ARGV[7], 'total', 0, 'next', 0)
redis.call('ZADD', D .. 'campaigns', ARGV[3], id)
if ARGV[8] ~= '' then open_list(id, ARGV[8], ARGV[9], tonumber(ARGV[10])) end
return 1
"""
)

# ARGV: prefix, id, list, rows, filling_ms. Rows of a list are going to be added; begun again, it is
# as if it had not been begun.
OPEN_LIST: Final = (
    OF_CAMPAIGN
    + """
local state = state_of(ARGV[2])
if not state then return {'unknown'} end
if state == 'finished' or state == 'cancelled' then return {'over', state} end
open_list(ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]))
return {'ok'}
"""
)

# ARGV: prefix, id, batch, filling_ms (0: the last ones), rows_max, refused, list ('' for none),
# then number, text of each row. A batch that comes twice, as when its answer was lost, is answered
# alike.
ADD_ROWS: Final = (
    OF_CAMPAIGN
    + """
local id, batch = ARGV[2], D .. 'batch:' .. ARGV[3]
local known = redis.call('GET', batch)
if known then return cjson.decode(known) end
local held = fields(id, 'state', 'total')
if not held[1] then return {'unknown'} end
if held[1] == 'finished' or held[1] == 'cancelled' then return {'over', held[1]} end
local total, duplicates = num(held[2]), ''
local first = total + 1
if total + (#ARGV - 7) / 2 > tonumber(ARGV[5]) then return {'full'} end
for i = 8, #ARGV, 2 do
  if redis.call('SADD', key('numbers', id), ARGV[i]) == 1 then
    total = total + 1
    redis.call('HSET', key('rows', id), total, ARGV[i + 1])
  else
    duplicates = duplicates .. ' ' .. ((i - 8) / 2)
    count(id, 'duplicates', 1)
  end
end
count(id, 'refused', ARGV[6])
local until_ms = tonumber(ARGV[4]) > 0 and now_ms + tonumber(ARGV[4]) or 0
redis.call('HSET', key('campaign', id), 'total', total, 'filling_until', until_ms)
local text = redis.call('HGET', key('lists', id), ARGV[7])
if text and until_ms == 0 then
  redis.call('HDEL', key('lists', id), ARGV[7])
elseif text then
  local list = cjson.decode(text)
  list.done, list.til = list.done + (#ARGV - 7) / 2, until_ms
  redis.call('HSET', key('lists', id), ARGV[7], cjson.encode(list))
end
local answer = {'ok', first, total - first + 1, duplicates}
redis.call('SET', batch, cjson.encode(answer), 'PX', 60000)
return answer
"""
)

# ARGV: prefix, id, verb, state wanted, states it may come from (' a b '), reason, wall_ms, whether
# rows that are missing may stay so ('1')
MOVE: Final = (
    OF_CAMPAIGN
    + """
local id, to = ARGV[2], ARGV[4]
local held = fields(id, 'state', 'priority', 'total', 'next', 'started_ms')
if not held[1] then return {'unknown'} end
if held[1] == to then return {'same'} end
if not string.find(ARGV[5], ' ' .. held[1] .. ' ', 1, true) then return {'wrong', held[1]} end
if to == 'running' then
  local left, rows, is_filling = missing(id)
  if rows > 0 and ARGV[8] ~= '1' then return {'incomplete', left, rows, is_filling} end
  redis.call('DEL', key('lists', id))
end
redis.call('HSET', key('campaign', id), 'state', to, 'reason', ARGV[6])
if to == 'running' then
  redis.call('ZADD', D .. 'running', held[2], id)
  redis.call('SADD', D .. 'live', id)
  redis.call('DEL', key('recent', id))
  if not held[5] then redis.call('HSET', key('campaign', id), 'started_ms', ARGV[7]) end
else
  redis.call('ZREM', D .. 'running', id)
end
if to == 'cancelled' then
  -- Rows that were never leased end by the count alone, however many they are.
  local left = num(held[3]) - num(held[4])
  redis.call('HSET', key('campaign', id), 'finished_ms', ARGV[7], 'stopped_at', num(held[4]),
             'next', num(held[3]))
  if left > 0 then count(id, 'ended:cancelled', left) end
  redis.call('SADD', D .. 'live', id)
  close_up(id)
end
tell(id, ARGV[3])
return {'ok'}
"""
)

# ARGV: prefix, id, spec expected, spec, priority, cps, concurrency
PATCH: Final = (
    OF_CAMPAIGN
    + """
local id = ARGV[2]
if redis.call('HGET', key('campaign', id), 'spec') ~= ARGV[3] then return 0 end
redis.call('HSET', key('campaign', id), 'spec', ARGV[4], 'priority', ARGV[5], 'cps', ARGV[6],
           'concurrency', ARGV[7])
count(id, 'revision', 1)
redis.call('ZADD', D .. 'running', 'XX', ARGV[5], id)
return 1
"""
)

# ARGV: prefix, id. Everything that is counted of a campaign, at one moment.
PROGRESS: Final = (
    OF_CAMPAIGN
    + """
local id = ARGV[2]
local held = redis.call('HGETALL', key('campaign', id))
if #held == 0 then return {} end
local due = redis.call('ZRANGE', key('due', id), 0, 0, 'WITHSCORES')
return {held, redis.call('ZCARD', key('due', id)), redis.call('ZCARD', key('leased', id)),
        redis.call('ZCARD', key('open', id)), talking(id), due[2] or '',
        redis.call('ZCOUNT', key('grants', id), now_ms - 60000, '+inf'), {missing(id)}}
"""
)

# ARGV: prefix, id, first n, last n. Texts of the rows, news of each, and from which row on those
# without news have been cancelled ('' for none).
ROWS: Final = (
    OF_CAMPAIGN
    + """
local id = ARGV[2]
local held = fields(id, 'total', 'stopped_at')
if not held[1] then return {} end
local last = math.min(tonumber(ARGV[4]), num(held[1]))
local wanted = {}
for n = tonumber(ARGV[3]), last do wanted[#wanted + 1] = n end
if #wanted == 0 then return {held[1], held[2] or '', {}, {}} end
return {held[1], held[2] or '', redis.call('HMGET', key('rows', id), unpack(wanted)),
        redis.call('HMGET', key('told', id), unpack(wanted))}
"""
)

# ARGV: prefix, id
REMOVE: Final = (
    OF_CAMPAIGN
    + """
local id = ARGV[2]
local state = state_of(id)
if not state then return {'unknown'} end
if state == 'running' or state == 'paused' or not is_at_rest(id) then return {'wrong', state} end
for _, name in ipairs({'campaign', 'rows', 'told', 'numbers', 'due', 'leased', 'open', 'recent',
                       'lists', 'slots', 'grants'}) do
  redis.call('UNLINK', key(name, id))
end
redis.call('ZREM', D .. 'campaigns', id)
redis.call('ZREM', D .. 'running', id)
redis.call('SREM', D .. 'live', id)
return {'ok'}
"""
)
