-- Putting in what another store had, as it was there.
do

-- What a store makes by itself: the number, where the parts lie, and where the task is parked.
local own = {}
own@seq, own@tail, own@big, own@parked, own@parked_since, own@opens_at = true, true, true, true, true, true

local function same(one, other)
  if type(one) == 'table' then return cmsgpack.pack(one) == cmsgpack.pack(other) end
  return one == other
end

local function same_record(there, new, parts)
  for field = 1, @@ do
    if not own[field] and not same(there[field], new[field]) then return false end
  end
  for i = 1, #PARTS do
    local letter = PARTS[i]
    -- Why it is parked.
    if letter ~= 'w' and part_of(there, letter) ~= (parts[letter] or false) then return false end
  end
  return true
end

ops.I = function()
  local r, parts, by_letter = {}, {}, {}
  r@id, r@status, r@name, r@version, r@queue = arg(), num(), arg(), arg(), arg()
  r@priority, r@run_at, r@revision = num(), arg(), num()
  r@attempt, r@fence, r@leases, r@lost, r@forgiven = num(), num(), num(), num(), num()
  r@cancel_requested, r@woken = num(), num()
  r@expires_at, r@created_at, r@started_at, r@finished_at = arg(), arg(), arg(), arg()
  r@worker, r@until, r@lease_token, r@token = arg(), arg(), arg(), arg()
  r@gates, r@holds, r@parked, r@parked_since, r@opens_at = read_pairs(), read_list(), arg(), arg(), arg()
  r@unique, r@scope, r@unique_for, r@unique_until = arg(), num(), arg(), arg()
  r@prefer, r@prefer_until, r@words, r@parent = arg(), arg(), read_list(), arg()
  r@failed, r@resulted, r@runs = num(), num(), num()
  r@tail, r@big = '', 0
  for i = 1, num() do
    local letter, text = arg(), arg()
    parts[2 * i - 1], parts[2 * i], by_letter[letter] = letter, text, text
  end
  local there = load(r@id)
  if there then
    if not same_record(there, r, by_letter) then refuse('X', r@id) end
    return { 'E', r@id, there@status }
  end
  -- Only what is due waits behind a gate.
  if r@run_at > NOWC then r@parked, r@parked_since, r@opens_at = '', '', '' end
  r@seq = next_number()
  -- It took its places, and what a rate allows, in the other store.
  for i = 1, #r@holds do put_member(P .. 'g:' .. r@holds[i], r@id, true) end
  note_holds(r@id, r@holds)
  insert(r, parts)
  if is_parked(r) then
    park_row(r@parked, r)
    -- Whether that gate is open here is looked at soon; who held it there may never leave it here.
    set_timer(r@parked, NOWC)
  end
  return { 'C', r@seq }
end

ops.J = function()
  local owner, name, first, events = arg(), arg(), num(), {}
  for i = 1, num() do events[i] = { num(), opt(), arg(), arg() } end
  local from, following = first, first
  if hget(P .. 'E:' .. owner, name) then from, following = extent_of(owner, name) end
  local rows, given = stream_key('e', owner, name), {}
  for i = 1, #events do
    local number, key, time, body = unpack(events[i])
    local text = fmt('%.0f', number)
    local event = event_text(time, key, body)
    if number == following then
      hset(rows, text, event)
      if key then hset(stream_key('K', owner, name), key, text) end
      following = following + 1
    elseif hget(rows, text) ~= event then
      refuse('G', owner, name, following - 1)
    end
    given[i] = number
  end
  put_extent(owner, name, from, following)
  return { 'A', unpack(given) }
end

ops.M = function()
  local set_at, till = arg(), arg()
  local key, value, _, gate, rule = read_mark()
  local there = mark_of(key)
  if not there then return { 'M', write_mark(key, value, set_at, till, gate, rule) } end
  if there[2] == set_at and there[3] == till and there[4] == value then return { 'M', there[1] } end
  refuse('M', key, there[1])
end

ops.K = function()
  local key, id, till = arg(), arg(), arg()
  local owner = owner_of(key)
  if not owner then
    release_key(key)
    put_key(key, id, till)
  elseif owner ~= id then
    refuse('K', key, owner)
  end
  return { 'D' }
end

end
