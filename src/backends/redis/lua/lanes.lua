-- The ready set: a lane for each queue, name and version, and the heads of lanes that are not empty.
local function lane_of(r)
  return r@name .. '\0' .. r@version
end

-- Texts have no zero byte.
local function lane_key(queue, lane)
  return P .. 'q:' .. queue .. '\0' .. lane
end

local function delayed_row(r)
  return r@run_at .. fmt('%016.0f', r@seq) .. r@id
end

-- Puts a pending record where it waits: in its lane when it is due, else among the delayed.
local function enter_lane(r)
  local queue = r@queue
  if r@run_at > NOWC then
    zadd(P .. 'd:' .. queue, delayed_row(r))
    return
  end
  local lane = lane_of(r)
  zadd(lane_key(queue, lane), order_of(r) .. r@id)
  touch(queue, lane)
end

-- Takes a pending record out, wherever it waits: what became due may not have been moved yet.
local function leave_lane(r)
  local queue, lane = r@queue, lane_of(r)
  zrem(P .. 'd:' .. queue, delayed_row(r))
  zrem(lane_key(queue, lane), order_of(r) .. r@id)
  touch(queue, lane)
end

local function next_delayed(queue)
  local first = first_row(P .. 'd:' .. queue)
  return first and sub(first, 1, 20)
end
