-- Bringing back what waits behind a gate.

-- How many more records a claim may bring back or send on, of all gates: the next claim goes on. Nil in other calls.
local turns

-- Sets a record aside to wait behind a gate; `taken` says that it has no ready row any more.
local function park(r, gate, why, opens, taken)
  local n = clone(r)
  n@parked, n@parked_since, n@opens_at = gate, NOWC, opens or ''
  replace(r, n, taken, { 'w', why })
  if opens then set_timer(gate, opens) end
end

-- The first gate of a record, besides one, that is closed for it, with why, and when it opens by itself. One that expired
-- is to end, not to wait.
local function closed_besides(r, key)
  if r@expires_at ~= '' and r@expires_at <= NOWC then return nil end
  local gates = r@gates
  for i = 1, #gates, 2 do
    if gates[i] ~= key then
      local why, opens = check_gate(gates[i], gates[i + 1], live_rule(gates[i]))
      if why then return gates[i], why, opens end
    end
  end
  return nil
end

-- The next claim goes on, whoever makes it.
local function go_on_at_once(key)
  set_timer(key, NOWC)
  hint('U')
end

-- Looks at one page of the records parked behind a gate, behind a row, and brings back what it lets through now, so many
-- at most when that is given.
-- Answers how many, the row behind which the next look begins when there may be more that it lets through, and how many
-- a claim sent on behind another gate of theirs: brought back they would get there in the claim that meets them, a claim
-- for each one of a long backlog.
local function look(key, behind, places)
  local rows_key = P .. 'p:' .. key
  if not first_row(rows_key) then return 0, nil, 0 end
  local rule = rule_of(key)
  if rule and rule.paused then return 0, nil, 0 end
  local tokens, rate = math.huge, rule and rule.n
  if rate then
    trim_bucket(key, rule)
    tokens = tokens_of(key, rule)
    if tokens == 0 then
      set_timer(key, code(next_token(key, rule)))
      return 0, nil, 0
    end
  end
  local max = rule and rule.max
  -- The limit that all go by who wait here, when that is one.
  local all = max or tonumber(hget(P .. 'L', key) or '') or NO_LIMIT
  local held, room = holders_of(key), turns or REOPEN_LIMIT
  if held >= all then return 0, nil, 0 end
  if room == 0 then
    go_on_at_once(key)
    return 0, nil, 0
  end
  -- Where nobody is in, nobody's leave brings the next ones back, should those that come now not be able to run.
  if held == 0 then places = nil end
  local rows = rows_between(rows_key, behind and '(' .. behind or '-', '+', REOPEN_LIMIT)
  local full_page = #rows == REOPEN_LIMIT
  local opened, sent_on = 0, 0
  for i = 1, #rows do
    local row = rows[i]
    local id = sub(row, ORDER + 1)
    local read, r = pcall(load, id)
    if not read then
      zrem(rows_key, row)
      quarantine(id, r)
    elseif not r or r@parked ~= key or r@status ~= PENDING then
      zrem(rows_key, row)
    -- With a limit of its own on each task, another one may still pass.
    elseif held < (max or own_limit(r, key) or NO_LIMIT) then
      local other, why, opens
      if turns then
        turns = turns - 1
        other, why, opens = closed_besides(r, key)
      end
      if other then
        park(r, other, why, opens, false)
        sent_on = sent_on + 1
      else
        local back = clone(r)
        back@parked = ''
        replace(r, back, false, nil)
        held = held + 1
        opened = opened + 1
      end
      if opened >= tokens then
        -- Those that just left will use up the tokens; what is filled of the next one by now is not lost.
        set_timer(key, code(next_token(key, rule, opened)))
        return opened, nil, sent_on
      end
      if held >= all or opened == places then return opened, nil, sent_on end
      if opened + sent_on >= room then
        -- More may pass: at the next claim, instead of walking a long backlog in this write.
        if full_page or i < #rows then go_on_at_once(key) end
        return opened, nil, sent_on
      end
    end
  end
  return opened, full_page and rows[#rows] or nil, sent_on
end

-- Brings back the best of the records parked behind a gate, as many as it lets through now, or so many at most. Answers
-- how many.
reopen = function(key, places)
  local opened, behind, sent_on, all_sent_on = 0, nil, 0, 0
  for _ = 1, REOPEN_PAGES do
    opened, behind, sent_on = look(key, behind, places)
    all_sent_on = all_sent_on + sent_on
    if opened > 0 or not behind then break end
  end
  -- Those that went have left their turns to some behind them.
  if all_sent_on > 0 and behind then go_on_at_once(key) end
  return opened
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
    if turns == 0 then break end
    zrem(P .. 'v', rows[i])
    reopen(sub(rows[i], 21))
  end
end

-- Gives up the places of a record whose lease ended.
local function leave_gates(id, holds, queue)
  for i = 1, #holds do put_member(P .. 'g:' .. holds[i], id, false) end
  for i = 1, #holds do
    local key = holds[i]
    -- One for the place, and one for a place whose own came back before and cannot run.
    reopen(key, 2)
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
