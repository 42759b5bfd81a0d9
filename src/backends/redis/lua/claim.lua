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

local tasks, expired, look_again, taken_out, unsorted = {}, {}, nil, false, false
local looked_behind, gates_ruled = {}, has_rules()

local function is_done()
  return #tasks >= limit or budget <= 0 or unsorted
end

local function look_again_at(time)
  if time and (not look_again or time < look_again) then look_again = time end
end

-- Moves delayed records of a queue that are due into their lanes.
local function promote(queue)
  local key = P .. 'd:' .. queue
  local rows = call('ZRANGE', key, '-', DUE, 'BYLEX', 'LIMIT', 0, PROMOTE)
  for i = 1, #rows do
    zrem(key, rows[i])
    local id = sub(rows[i], 37)
    local read, r = pcall(load, id)
    if not read then
      quarantine(id, r)
    elseif r and r@status == PENDING and r@parked == '' then
      enter_lane(r)
    end
  end
end

local function take(lane_rows, row)
  local taken = seen.taken[lane_rows]
  if not taken then
    taken = {}
    seen.taken[lane_rows] = taken
  end
  taken[row] = true
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
    if not skip and reopen(key) > 0 then look_again_at(NOWC) end
  end
end

local function park(r, gate, why, opens)
  local n = clone(r)
  n@parked, n@parked_since, n@opens_at = gate, NOWC, opens or ''
  replace(r, n, true, { 'pr', why })
  if opens then set_timer(gate, opens) end
end

-- What becomes of one row: "gone", "kept" for another worker, or its "lane" or "queue" is closed now.
local function candidate(lane_rows, row)
  budget = budget - 1
  local id = sub(row, ORDER + 1)
  local parts = try_call('HMGET', record_key(id), unpack(PARTS))
  local read, r = true, nil
  if parts.err then
    read, r = false, parts
  elseif parts[1] then
    read, r = pcall(read_header, id, parts[1])
  end
  if not read then
    take(lane_rows, row)
    quarantine(id, r)
    return 'gone'
  end
  if not r or r@status ~= PENDING or r@parked ~= '' or order_of(r) ~= sub(row, 1, ORDER) then
    -- The row leads nowhere; it must not be met again.
    take(lane_rows, row)
    return 'gone'
  end
  seen.records[id], seen.raws[id] = r, parts[1]
  local stands_for = knows(lane_of(r))
  if not stands_for then return 'lane' end
  if r@expires_at ~= '' and r@expires_at <= NOWC then
    -- What becomes of it is for the caller to say, in the same call.
    expired[#expired + 1] = parts
    return 'kept'
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
        entering[#entering + 1] = rule
        holds[#holds + 1] = key
      end
    end
  end
  local gates = r@gates
  for i = 1, #gates, 2 do
    local key = gates[i]
    local rule = live_rule(key)
    local why, opens = check_gate(key, gates[i + 1], rule)
    if why then
      take(lane_rows, row)
      park(r, key, why, opens)
      pass_turn_on(r, key)
      return 'gone'
    end
    entering[#entering + 1] = rule or false
    holds[#holds + 1] = key
  end
  take(lane_rows, row)
  for i = 1, #holds do enter_gate(holds[i], id, entering[i]) end
  lease(r, holds, worker, ttl, token .. fmt('%08x', #tasks))
  parts[1] = seen.raws[id]
  tasks[#tasks + 1] = parts
  return 'gone'
end
