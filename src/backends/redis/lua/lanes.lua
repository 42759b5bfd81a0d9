-- The ready set: a lane for each queue, name and version, and the heads of lanes that are not empty.
local function lane_of(r)
  return r@name .. '\0' .. r@version
end

-- Texts have no zero byte.
local function lane_key(queue, lane)
  return P .. 'q:' .. queue .. '\0' .. lane
end

local function first_in_lane(queue, lane)
  local first = call('ZRANGE', lane_key(queue, lane), 0, 0)[1]
  return first and sub(first, 1, ORDER)
end

local function head_of(queue, lane)
  local heads = seen.heads[queue]
  if not heads then
    heads = {}
    seen.heads[queue] = heads
  end
  local head = heads[lane]
  if head == nil then
    head = call('HGET', P .. 'H:' .. queue, lane)
    heads[lane] = head
  end
  return head
end

-- Moves the head of a lane; false for a lane that is empty.
local function set_head(queue, lane, old, new)
  if old == new then return end
  if old then zrem(P .. 'h:' .. queue, old .. lane) end
  if new then
    zadd(P .. 'h:' .. queue, new .. lane)
    call('HSET', P .. 'H:' .. queue, lane, new)
  else
    call('HDEL', P .. 'H:' .. queue, lane)
  end
  if old then
    do_undo({ 'HSET', P .. 'H:' .. queue, lane, old })
  else
    do_undo({ 'HDEL', P .. 'H:' .. queue, lane })
  end
  seen.heads[queue][lane] = new
end

-- Puts a pending record where it waits: in its lane when it is due, else among the delayed.
local function enter_lane(r)
  local queue = r@queue
  if r@run_at > NOWC then
    zadd(P .. 'd:' .. queue, r@run_at .. fmt('%016.0f', r@seq) .. r@id)
    return
  end
  local lane, order = lane_of(r), order_of(r)
  local key, member = lane_key(queue, lane), order .. r@id
  local taken = seen.taken[key]
  if taken and taken[member] then
    -- It was taken out in this call and comes back.
    taken[member] = nil
  else
    zadd(key, member)
  end
  local head = head_of(queue, lane)
  if not head or order < head then set_head(queue, lane, head, order) end
end

-- Takes a pending record out, wherever it waits.
local function leave_lane(r)
  local queue = r@queue
  if zrem(P .. 'd:' .. queue, r@run_at .. fmt('%016.0f', r@seq) .. r@id) then return end
  local lane, order = lane_of(r), order_of(r)
  zrem(lane_key(queue, lane), order .. r@id)
  if head_of(queue, lane) == order then set_head(queue, lane, order, first_in_lane(queue, lane) or false) end
end

local function next_delayed(queue)
  local first = call('ZRANGE', P .. 'd:' .. queue, 0, 0)[1]
  return first and sub(first, 1, 20)
end
