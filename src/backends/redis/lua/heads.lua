-- The heads of lanes that are not empty: the order of the first record of each, by lane in H:<queue>, in order in h:….
--
-- The length of an order; the id follows it in rows.
local ORDER = 39

-- Makes the head of a lane true again that rows entered or left.
local function write_head(queue, lane)
  local first = call('ZRANGE', P .. 'q:' .. queue .. '\0' .. lane, 0, 0)[1]
  local new, old = first and sub(first, 1, ORDER), call('HGET', P .. 'H:' .. queue, lane)
  if new == (old or nil) then return end
  if old then call('ZREM', P .. 'h:' .. queue, old .. lane) end
  if new then
    call('ZADD', P .. 'h:' .. queue, 0, new .. lane)
    call('HSET', P .. 'H:' .. queue, lane, new)
  else
    call('HDEL', P .. 'H:' .. queue, lane)
  end
end
