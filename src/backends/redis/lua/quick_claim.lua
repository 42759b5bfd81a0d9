-- A claim of plain tasks: due, without gates or anything else to look at. It is what claim.lua makes of them, without
-- taking values apart. At the first that is not plain this ends, and the caller goes on there.
local find = string.find
local NUMBERS = '>I8I4I8I4I4I4I2I2I4I8'
local RECORDS = P .. 't'
-- Flags of gates and such, of parts beside it, and the layout: those of a value that can be changed in place.
local PLAIN = { ['00A'] = true, ['10A'] = true }
local worker, ttl, limit, token = arg(), num(), num(), arg()
local queues = read_list()
-- Many lanes are for claim.lua.
if opt() then return { 'slow' } end
local lanes = {}
for i = 1, num() do
  lanes[i] = arg()
  next_arg = next_arg + 1
end
if #lanes == 0 or call('EXISTS', P .. 'R') == 1 then return { 'slow' } end

local until_text = fmt('%.0f', NOW + ttl)
local until_code = code(NOW + ttl)
local tasks, values, leases, found = {}, {}, {}, 0
local due, slow = nil, false

local function consider(time)
  if time and (not due or time < due) then due = time end
end

local function first_time(key)
  local first = call('ZRANGE', key, 0, 0)[1]
  return first and sub(first, 1, 20)
end

-- The next records of a lane with their values.
local function page_of(lane)
  local from, wanted = lane.last and '(' .. lane.last or '-', math.min(limit - found, 256)
  local rows = call('ZRANGE', lane.key, from, '+', 'BYLEX', 'LIMIT', 0, wanted)
  local ids = {}
  for i = 1, #rows do ids[i] = sub(rows[i], ORDER + 1) end
  lane.rows, lane.ids, lane.at, lane.last = rows, ids, 1, rows[#rows]
  lane.raws = #rows > 0 and call('HMGET', RECORDS, unpack(ids)) or {}
  return rows[1]
end

-- Leases the next record of a lane; false when it is not plain.
local function lease(lane)
  local at = lane.at
  local row, id, raw = lane.rows[at], lane.ids[at], lane.raws[at]
  local names = id .. lane.names
  if not raw or sub(raw, 1, 2) ~= '00' or not PLAIN[sub(raw, 6, 8)] or find(raw, sub(row, 1, ORDER), 9, true) ~= 9
    or find(raw, names, 208, true) ~= 208 then
    return false
  end
  local revision, attempt, times_leased, lost, forgiven, runs, length, held, special, fence =
    struct.unpack(NUMBERS, raw, 128)
  if held ~= 0 or length ~= #names then return false end
  raw = '1' .. sub(raw, 2, 2) .. '0' .. sub(raw, 4, 67) .. NOWC .. sub(raw, 88, 107) .. until_code
    .. struct.pack(NUMBERS, revision + 1, attempt + 1, times_leased + 1, lost, forgiven, runs, length, #worker, special, next_fence(fence))
    .. fmt('%s%08x', token, found) .. worker .. sub(raw, 208)
  found = found + 1
  tasks[found] = raw
  values[2 * found - 1], values[2 * found] = id, raw
  leases[2 * found - 1], leases[2 * found] = until_text, id
  lane.gone[#lane.gone + 1] = row
  lane.at = at + 1
  return true
end

local function take_from(queue)
  local later = first_time(P .. 'd:' .. queue)
  if later and later <= NOWC then return false end
  local orders = call('HMGET', P .. 'H:' .. queue, unpack(lanes))
  local open = {}
  for i = 1, #lanes do
    if orders[i] then
      open[#open + 1] = {
        order = orders[i], lane = lanes[i], key = P .. 'q:' .. queue .. '\0' .. lanes[i], gone = {}, rows = {}, at = 1,
        names = '\0' .. queue .. '\0' .. lanes[i] .. '\0',
      }
    end
  end
  local all, plain = { unpack(open) }, true
  while plain and found < limit and #open > 0 do
    if #open > 1 then table.sort(open, function(a, b) return a.order < b.order end) end
    local best, second = open[1], open[2] and open[2].order
    -- As long as its next record is before those of other lanes.
    while found < limit do
      local row = best.rows[best.at] or page_of(best)
      if not row then
        table.remove(open, 1)
        break
      end
      best.order = sub(row, 1, ORDER)
      if second and best.order > second then break end
      plain = lease(best)
      if not plain then break end
    end
  end
  for i = 1, #all do
    local lane = all[i]
    local leased = #lane.gone
    if leased > 0 then
      local names = queue .. '\0' .. string.match(lane.lane, '^%Z*')
      write('ZREM', lane.key, lane.gone)
      write_head(queue, lane.lane)
      add(P .. 'c', PENDING .. names, -leased)
      add(P .. 'c', RUNNING .. names, leased)
      add(P .. 'W', queue, -leased)
    end
  end
  if later and found < limit then consider(later) end
  return plain
end

local timer = first_time(P .. 'v')
if timer and timer <= NOWC then return { 'slow' } end
consider(timer)
for i = 1, #queues do
  if found >= limit then break end
  if not take_from(queues[i]) then
    slow = true
    break
  end
end
write('HSET', RECORDS, values)
write('ZADD', P .. 'l', leases)
if found < limit and not slow then
  local ends = call('ZRANGE', P .. 'l', 0, 0, 'WITHSCORES')[2]
  if ends then
    ends = tonumber(ends)
    consider(code(ends))
    slow = ends <= NOW
  end
end
local full = found >= limit
if full then due = NOWC end
return { slow and 'slow' or 'ok', NOWC, due or '', full and found > 0 and 1 or 0, tasks }
