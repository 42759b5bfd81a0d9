-- Claiming: the best due records of the lanes a worker knows, without walking the others.
local PROMOTE, HEAD_PAGE, ENDED_AT_ONCE = 4096, 64, 64
local worker, ttl, limit, token = arg(), num(), num(), arg()
local queues = read_list()
local budget = 64 + 4 * limit

-- Lane texts that the worker knows, and the name that each stands for ("" for itself). Few come with the request; many
-- lie in a hash that was put there before.
local known, many, many_names = {}, opt(), nil
local lanes = {}
if many then
  many_names = P .. 'N:' .. many
  if call('EXPIRE', many_names, 86400) == 0 then return { 'names' } end
else
  for i = 1, num() do
    lanes[i] = arg()
    known[lanes[i]] = arg()
  end
end

local function knows(lane)
  local stands_for = known[lane]
  if stands_for == nil and many_names then
    stands_for = call('HGET', many_names, lane)
    known[lane] = stands_for
  end
  return stands_for
end

local tasks, look_again, taken_out, unsorted = {}, nil, false, false
local looked_behind, passed_on, gates_ruled = {}, false, has_rules()
turns = REOPEN_LIMIT
local found = 0

local function is_done()
  return found >= limit or budget <= 0 or unsorted
end

local function look_again_at(time)
  if time and (not look_again or time < look_again) then look_again = time end
end

-- Moves delayed records of a queue that are due into their lanes.
local function promote(queue)
  local key = P .. 'd:' .. queue
  local rows = rows_between(key, '-', DUE, PROMOTE)
  local ids = {}
  for i = 1, #rows do ids[i] = sub(rows[i], 37) end
  read_ahead(ids)
  for i = 1, #rows do
    zrem(key, rows[i])
    local read, r = pcall(load, ids[i])
    if not read then
      quarantine(ids[i], r)
    elseif r and r@status == PENDING and r@parked == '' then
      enter_lane(r)
    end
  end
end

-- A record that does not run now may have been brought back by one of its gates, whose place is still free.
local function pass_turn_on(r, closed)
  local gates = r@gates
  for i = 1, #gates, 2 do
    local key = gates[i]
    local skip = false
    if closed == key then
      -- Those with a larger limit of their own may pass. One look in a claim finds them.
      skip = looked_behind[key] or not lets_others_through(key)
      if not skip then looked_behind[key] = true end
    end
    if not skip and reopen(key) > 0 then
      passed_on = true
      look_again_at(NOWC)
    end
  end
end

local function lease_token_of(number)
  return token .. fmt('%08x', number)
end

-- What becomes of one row: "gone", "kept" for another worker, or its "lane" or "queue" is closed now.
local function candidate(cursor, row)
  budget = budget - 1
  local id = sub(row, ORDER + 1)
  begin()
  local read, r = pcall(load, id)
  if not read then
    zrem(cursor.key, row)
    quarantine(id, r)
    return 'gone'
  end
  if not r or r@status ~= PENDING or r@parked ~= '' or order_of(r) ~= sub(row, 1, ORDER) then
    -- The row leads nowhere; it must not be met again.
    zrem(cursor.key, row)
    return 'gone'
  end
  local stands_for = knows(lane_of(r))
  if not stands_for then return 'lane' end
  if r@expires_at ~= '' and r@expires_at <= NOWC then
    zrem(cursor.key, row)
    expire(r)
    pass_turn_on(r, nil)
    return 'gone'
  end
  if r@prefer ~= '' and r@prefer ~= worker and r@prefer_until > NOWC then
    look_again_at(r@prefer_until)
    return 'kept'
  end
  local entering, holds = {}, {}
  if gates_ruled then
    for i, key in ipairs(implied_gates(r, stands_for)) do
      local rule = live_rule(key)
      if rule then
        local why, opens = check_gate(key, nil, rule)
        if why then
          look_again_at(opens)
          return i == 1 and 'queue' or 'lane'
        end
        note_place(holds, entering, key, rule)
      end
    end
  end
  local gates = r@gates
  for i = 1, #gates, 2 do
    local key = gates[i]
    local rule = live_rule(key)
    local why, opens = check_gate(key, gates[i + 1], rule)
    if why then
      zrem(cursor.key, row)
      park(r, key, why, opens, true)
      pass_turn_on(r, key)
      return 'gone'
    end
    note_place(holds, entering, key, rule)
  end
  zrem(cursor.key, row)
  for i = 1, #holds do enter_gate(holds[i], id, entering[i]) end
  lease(r, holds, worker, ttl, lease_token_of(found))
  found = found + 1
  tasks[found] = id
  return 'gone'
end
