-- Making, changing and removing records: what every such write has in common.
local reopen

local function announce(r)
  if r@status == PENDING and r@parked == '' then hint('R' .. r@queue) end
end

local function count(r, change)
  local status, queue = r@status, r@queue
  add_count(P .. 'c', status .. queue .. '\0' .. r@name, change)
  if status == PENDING then
    add_count(P .. 'W', queue, change)
  elseif status >= SUCCEEDED then
    add_count(P .. 'F', 'ended', change)
  end
end

-- The list of a status, in order of creation. What has not ended has one: few of it run, and leases have their own.
local function list_of(status)
  return P .. 's:' .. (status == RUNNING and PENDING or status)
end

local function place(r)
  local status = r@status
  if status == PENDING then
    if r@parked == '' then enter_lane(r) end
  elseif status == RUNNING then
    put_row(P .. 'l', r@id, micros_of(r@until))
  elseif r@finished_at ~= '' then
    put_row(P .. 'f', fmt('%016.0f', r@seq) .. r@id, micros_of(r@finished_at))
  end
end

local function displace(r)
  local status = r@status
  if status == PENDING then
    if r@parked == '' then leave_lane(r) end
  elseif status == RUNNING then
    put_row(P .. 'l', r@id, false)
  else
    put_row(P .. 'f', fmt('%016.0f', r@seq) .. r@id, false)
  end
end

local function enlist(r)
  announce(r)
  local id, seq = r@id, r@seq
  put_row(P .. 'w:n:' .. r@name, id, seq)
  local words = r@words
  for i = 1, #words do put_row(P .. 'w:' .. words[i], id, seq) end
  put_row(list_of(r@status), id, seq)
  count(r, 1)
  place(r)
end

local function insert(r, parts)
  enlist(r)
  save(r, parts)
end

-- Whether a change leaves the record where it is.
local function stays(old, new)
  return old@status == new@status and old@queue == new@queue and old@priority == new@priority
    and old@run_at == new@run_at and old@parked == new@parked and old@until == new@until
    and old@finished_at == new@finished_at
end

-- Writes a record over its old state. `taken` says that the old ready row is gone already.
local function replace(old, new, taken, extra)
  new@revision = old@revision + 1
  -- Only what is due waits behind a gate: one that is put off would be given a turn that it does not take.
  if new@run_at > NOWC then new@parked = '' end
  if not taken and stays(old, new) then
    save(new, extra)
    return
  end
  local status = new@status
  if is_parked(old) then unpark_row(old@parked, old) end
  if is_parked(new) then park_row(new@parked, new) end
  if old@status ~= status or old@queue ~= new@queue then
    count(old, -1)
    count(new, 1)
  end
  local from, to = list_of(old@status), list_of(status)
  if from ~= to then
    put_row(from, old@id, false)
    put_row(to, old@id, old@seq)
  end
  if not taken then displace(old) end
  place(new)
  save(new, extra)
  announce(new)
  if status >= SUCCEEDED and old@status < SUCCEEDED then
    release_at_end(new)
    hint('F' .. new@id)
  end
  if old@status == PENDING and old@parked == '' and not taken then
    local gates = old@gates
    for i = 1, #gates, 2 do reopen(gates[i]) end
  end
end
