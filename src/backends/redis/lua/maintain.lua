-- Upkeep, in small steps: retention, marks and keys whose time is over, gates that should be open.
local RETIRE_PAGE, RETIRE_SCAN, SWEEP_PAGES, LOOK_AGAIN = 256, 2000, 32, 1000
local max_age, keep_count, limit = opt(), opt(), math.max(num(), 1)

-- One act by itself: a fault takes back what it wrote, and the others go on.
local function step(act, ...)
  begin()
  local done, answer = pcall(act, ...)
  if not done then
    roll_back()
    return nil, reason(answer)
  end
  return answer
end

local faults = {}

local function must(answer, failed)
  if failed then faults[#faults + 1] = failed end
  return answer
end

local function sweep_marks()
  local rows = rows_between(P .. 'n', '-', DUE, limit)
  for i = 1, #rows do
    zrem(P .. 'n', rows[i])
    local key = sub(rows[i], 21)
    if not mark_of(key) then drop_mark(key) end
  end
  return #rows
end

local function sweep_keys()
  local rows = rows_between(P .. 'k', '-', DUE, limit)
  for i = 1, #rows do
    release_key(sub(rows[i], 21))
    zrem(P .. 'k', rows[i])
  end
  return #rows
end

-- Whether a parent that has not ended may still read the record.
local function is_awaited(r)
  if r@parent == '' then return false end
  local read, parent = pcall(load, r@parent)
  if not read then return true end
  return parent and not is_ended(parent)
end

-- Removes ended records beyond the retention, the first that ended first. Records that stay for their parent's sake must
-- not hide those behind them: however many they are, a step looks at a bounded number and the next one goes on behind it, at
-- "score member" of the last looked at. One that has removed what it may begins anew, as long as it need not go on: by then a
-- parent may have ended.
local function retire()
  local surplus = keep_count and math.max(count_of(P .. 'F', 'ended') - tonumber(keep_count), 0) or 0
  local cutoff = max_age and NOW - tonumber(max_age)
  local reached = call('GET', P .. 'y')
  local removed, examined = 0, 0
  -- Rows of one score are in the order of their members; the offset skips those of it that were looked at.
  local from, skip_to = '-inf', nil
  if reached then from, skip_to = string.match(reached, '^(%S+) (.*)$') end
  local function begin_anew()
    if reached then call('DEL', P .. 'y') end
    return removed, false
  end
  local function go_on(score, member)
    call('SET', P .. 'y', score .. ' ' .. member)
    return removed, true
  end
  while examined < RETIRE_SCAN do
    local page = RETIRE_PAGE
    local rows = call('ZRANGEBYSCORE', P .. 'f', from, '+inf', 'WITHSCORES', 'LIMIT', 0, page)
    -- Those that stay make the same score come again: read on behind them.
    local offset = page
    while skip_to and #rows > 0 and rows[#rows] == from and sub(rows[#rows - 1], 1, 16) <= sub(skip_to, 1, 16) do
      rows = call('ZRANGEBYSCORE', P .. 'f', from, '+inf', 'WITHSCORES', 'LIMIT', offset, page)
      offset = offset + page
    end
    local looked = 0
    for i = 1, #rows, 2 do
      local member, score = rows[i], rows[i + 1]
      if not (skip_to and score == from and sub(member, 1, 16) <= sub(skip_to, 1, 16)) then
        looked = looked + 1
        local is_old = cutoff and tonumber(score) < cutoff
        if not is_old and surplus == 0 then return begin_anew() end
        if removed >= limit then
          if reached and skip_to then return go_on(from, skip_to) end
          return removed, true
        end
        local id = sub(member, 17)
        local read, r = pcall(load, id)
        if not read then
          must(step(function()
            put_row(P .. 'f', member, false)
            quarantine(id, r)
          end))
        elseif not r or not is_ended(r) then
          put_row(P .. 'f', member, false)
        elseif not is_awaited(r) and must(step(function()
          remove(r)
          return true
        end)) then
          removed = removed + 1
          surplus = math.max(surplus - 1, 0)
        end
        from, skip_to = score, member
      end
    end
    if looked == 0 then return begin_anew() end
    examined = examined + looked
    flush()
  end
  if not skip_to then return removed, true end
  kept = true
  return go_on(from, skip_to)
end

-- Opens gates that should be open: a safety net, for what opens a gate opens it in the same write.
local function sweep_gates()
  local swept = fields_of(P .. 'S')
  for i = 1, math.min(#swept, limit) do
    if not first_row(P .. 'p:' .. swept[i]) then hdel(P .. 'S', swept[i]) end
  end
  local all = rows_between(P .. 'P', '-', '+', limit)
  -- The fewer gates, the farther into each.
  local pages, opened = math.max(floor(SWEEP_PAGES / math.max(#all, 1)), 1), 0
  for i = 1, #all do opened = opened + (must(step(sweep_gate, all[i], pages)) or 0) end
  return opened
end

-- Puts back what can be read again; answers how many records stay aside, of those looked at.
local function look_again()
  local unreadable = 0
  local ids = fields_of(P .. 'x')
  for i = 1, math.min(#ids, LOOK_AGAIN) do
    local id = ids[i]
    local read, r = pcall(load, id)
    if not read then
      unreadable = unreadable + 1
    else
      must(step(function()
        hdel(P .. 'x', id)
        if not r then return end
        place(r)
        if is_parked(r) then park_row(r@parked, r) else announce(r) end
      end))
    end
  end
  return unreadable
end

local marks = must(step(sweep_marks)) or 0
local freed = must(step(sweep_keys)) or 0
begin()
local removed, more = retire()
local unparked = sweep_gates()
local unreadable = look_again()
finish()
more = more or marks >= limit or freed >= limit
return { removed, marks, unparked, unreadable, more and 1 or 0, faults }
