-- Claiming, continued: lanes in the order of their first record, the same order that a single queue would have.

-- The ready records of one lane, read ahead a little.
local function new_cursor(queue, lane)
  -- Of many lanes each may have one record that is wanted.
  local page = many_names and 4 or math.min(math.max(limit, 4), 256)
  return { lane = lane, key = lane_key(queue, lane), rows = {}, at = 1, page = page, exhausted = false }
end

local function peek(cursor)
  if cursor.at > #cursor.rows and not cursor.exhausted then
    local from = cursor.last and '(' .. cursor.last or '-'
    local rows = rows_between(cursor.key, from, '+', cursor.page)
    cursor.rows, cursor.at = rows, 1
    cursor.exhausted = #rows < cursor.page
    cursor.last = rows[#rows] or cursor.last
    cursor.page = math.min(math.max(cursor.page * 4, limit), 256)
    local ids = {}
    for i = 1, #rows do ids[i] = sub(rows[i], ORDER + 1) end
    read_ahead(ids)
  end
  return cursor.rows[cursor.at]
end

-- The lanes of a queue that the worker can run, in the order of their first record: a function that gives order and lane
-- of the next without taking it, and one that takes it.
local function heads_of(queue)
  local found, at, behind, exhausted = {}, 1, nil, false
  if not many_names then
    exhausted = true
    if #lanes > 0 then
      local orders = call('HMGET', P .. 'H:' .. queue, unpack(lanes))
      for i = 1, #lanes do
        if orders[i] then found[#found + 1] = orders[i] .. lanes[i] end
      end
      table.sort(found, function(a, b) return sub(a, 1, ORDER) < sub(b, 1, ORDER) end)
    end
  end
  local function following()
    while at > #found and not exhausted do
      local page = call('ZRANGE', P .. 'h:' .. queue, behind and '(' .. behind or '-', '+', 'BYLEX', 'LIMIT', 0, HEAD_PAGE)
      exhausted = #page < HEAD_PAGE
      behind = page[#page] or behind
      found, at = {}, 1
      for i = 1, #page do
        if knows(sub(page[i], ORDER + 1)) then found[#found + 1] = page[i] end
      end
    end
    local head = found[at]
    if head then return sub(head, 1, ORDER), sub(head, ORDER + 1) end
    return nil
  end
  return following, function() at = at + 1 end
end

-- Cursors in the order of their next row.
local function keep(cursors, order, cursor)
  local i = 1
  while cursors[i] and cursors[i][1] < order do i = i + 1 end
  table.insert(cursors, i, { order, cursor })
end

local function claim_from(queue)
  promote(queue)
  local due = next_delayed(queue)
  unsorted = due and due <= NOWC
  if unsorted then return end
  if gates_ruled then
    local key = 'queue/' .. queue
    local rule = live_rule(key)
    local why, opens
    if rule then why, opens = check_gate(key, nil, rule) end
    if why then
      look_again_at(opens)
      return
    end
  end
  -- Heads and lanes are read as they are written.
  if next(touched) then flush() end
  local following, take_head = heads_of(queue)
  local cursors = {}
  while not is_done() do
    while true do
      local order, lane = following()
      if not order or cursors[1] and cursors[1][1] < order then break end
      take_head()
      touch(queue, lane)
      keep(cursors, order, new_cursor(queue, lane))
    end
    local best = table.remove(cursors, 1)
    if not best then break end
    local cursor = best[2]
    local row = peek(cursor)
    local step
    if row then
      cursor.at = cursor.at + 1
      step = candidate(cursor, row)
      if step == 'queue' then break end
      if step == 'gone' then taken_out = true end
    end
    if step and step ~= 'lane' then
      local next_row = peek(cursor)
      if next_row then keep(cursors, sub(next_row, 1, ORDER), cursor) end
    end
  end
end

-- Takes ended leases out of their index whose record cannot be read: nobody can take them back, and the store would ask
-- for it without end. The places that such a record holds in gates are given up, as with every lease that ends.
local function set_ended_leases_aside()
  local ids = call('ZRANGEBYSCORE', P .. 'l', '-inf', NOW, 'LIMIT', 0, ENDED_AT_ONCE)
  for i = 1, #ids do
    local id = ids[i]
    local read, r = pcall(load, id)
    if not read then
      quarantine(id, r)
      put_row(P .. 'l', id, false)
      local holds = hget(P .. 'G', id)
      leave_gates(id, holds and cmsgpack.unpack(holds) or {}, nil)
    elseif not r or r@worker == '' then
      put_row(P .. 'l', id, false)
    end
  end
end

local function next_due()
  local due = look_again
  local function consider(time)
    if time and (not due or time < due) then due = time end
  end
  for i = 1, #queues do consider(next_delayed(queues[i])) end
  flush()
  local ends = call('ZRANGE', P .. 'l', 0, 0, 'WITHSCORES')[2]
  if ends then
    consider(code(math.max(tonumber(ends), NOW)))
    if tonumber(ends) <= NOW then
      -- What leaves here is no part of what the claim may do.
      turns = nil
      set_ended_leases_aside()
    end
  end
  consider(next_timer())
  return due or ''
end

begin()
local done, failed = pcall(function()
  run_timers()
  for i = 1, #queues do
    if is_done() then break end
    claim_from(queues[i])
  end
end)
-- What it met last is taken back; what was leased before stays.
if not done then roll_back() end
if not done and found == 0 then
  finish()
  return { 'C', reason(failed) }
end
local more, due = taken_out or unsorted, NOWC
if not is_done() then
  local timer = next_timer()
  more, due = timer and timer <= NOWC, next_due()
end
for i = 1, found do tasks[i] = whole(tasks[i]) end
finish()
return { 'ok', NOWC, due, (more or passed_on) and 1 or 0, tasks }
