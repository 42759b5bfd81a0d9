-- Bringing back what waits behind a gate.

-- Looks at one page of the records parked behind a gate, behind a row, and brings back what it lets through now.
-- Answers how many, and the row behind which the next look begins when there may be more that it lets through.
local function look(key, behind)
  local rows_key = P .. 'p:' .. key
  if not first_row(rows_key) then return 0, nil end
  local rule = rule_of(key)
  if rule and rule.paused then return 0, nil end
  local room, rate = REOPEN_LIMIT, rule and rule.n
  if rate then
    trim_bucket(key, rule)
    room = math.min(room, tokens_of(key, rule))
    if room == 0 then
      set_timer(key, code(next_token(key, rule)))
      return 0, nil
    end
  end
  local max = rule and rule.max
  local held = holders_of(key)
  local rows = rows_between(rows_key, behind and '(' .. behind or '-', '+', REOPEN_LIMIT)
  local full_page = #rows == REOPEN_LIMIT
  local following, opened = full_page and rows[#rows] or nil, 0
  for i = 1, #rows do
    local row = rows[i]
    local id = sub(row, ORDER + 1)
    local read, r = pcall(load, id)
    if not read then
      zrem(rows_key, row)
      quarantine(id, r)
    elseif not r or r@parked ~= key or r@status ~= PENDING then
      zrem(rows_key, row)
    elseif held >= (max or own_limit(r, key) or NO_LIMIT) then
      -- With a limit of its own on each task, another one may still pass.
      if max then
        following = nil
        break
      end
    else
      local back = clone(r)
      back@parked = ''
      replace(r, back, false, nil)
      held = held + 1
      opened = opened + 1
      if opened >= room then
        following = nil
        break
      end
    end
  end
  if opened == REOPEN_LIMIT and full_page then
    -- More may pass: at the next claim, instead of walking a long backlog in this write.
    set_timer(key, NOWC)
  elseif rate and opened >= room then
    -- Those that just left will use up the tokens; the next one comes an interval later.
    set_timer(key, code(NOW + rule.interval))
  end
  return opened, following
end

-- Brings back the best of the records parked behind a gate, as many as it lets through now. Answers how many.
reopen = function(key)
  local behind
  for _ = 1, REOPEN_PAGES do
    local opened
    opened, behind = look(key, behind)
    if opened > 0 or not behind then return opened end
  end
  return 0
end

-- As reopen, from where the last sweep of this gate came to.
local function sweep_gate(key, pages)
  local behind = hget(P .. 'S', key) or nil
  local goes_on, opened = behind ~= nil, 0
  for _ = 1, pages do
    local more
    more, behind = look(key, behind)
    opened = opened + more
    if not behind then break end
  end
  if behind then
    hset(P .. 'S', key, behind)
  elseif goes_on then
    hdel(P .. 'S', key)
  end
  return opened
end

-- Opens the gates whose time has come.
local function run_timers()
  local rows = rows_between(P .. 'v', '-', DUE, REOPEN_LIMIT)
  for i = 1, #rows do
    zrem(P .. 'v', rows[i])
    reopen(sub(rows[i], 21))
  end
end

-- Gives up the places of a record whose lease ended.
local function leave_gates(id, holds, queue)
  for i = 1, #holds do put_member(P .. 'g:' .. holds[i], id, false) end
  for i = 1, #holds do
    local key = holds[i]
    reopen(key)
    -- Behind the gate of a queue or a name nothing is parked: who waits there is told to look again.
    if not queue then
      hint('U')
    elseif sub(key, 1, 6) == 'queue/' then
      hint('R' .. queue)
    elseif sub(key, 1, 5) == 'task/' then
      hint('U')
    end
  end
  if #holds > 0 then hdel(P .. 'G', id) end
end
