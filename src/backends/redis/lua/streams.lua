-- Streams of events: their extent in E:<owner>, events by number in e:…, numbers by key in K:….
local function stream_key(letter, owner, name)
  return P .. letter .. ':' .. owner .. '\0' .. name
end

-- First kept and next number.
local function extent_of(owner, name)
  local text = hget(P .. 'E:' .. owner, name)
  if not text then return 1, 1 end
  local first, following = string.match(text, '^(%d+) (%d+)$')
  return tonumber(first), tonumber(following)
end

local function put_extent(owner, name, first, following)
  hset(P .. 'E:' .. owner, name, fmt('%.0f %.0f', first, following))
end

-- An event is stored as its time, the length of its key in four digits (or four dashes), the key, and the rest as it came.
local function event_text(time, key, body)
  return time .. (key and fmt('%04d', #key) .. key or '----') .. body
end

-- Appends events; one whose key is there already answers with the number it has.
local function append(owner, name, events)
  local first, following = extent_of(owner, name)
  local rows, keys = stream_key('e', owner, name), stream_key('K', owner, name)
  local numbers_given = {}
  for i = 1, #events do
    local key, body = events[i][1], events[i][2]
    local known = key and hget(keys, key)
    if known then
      numbers_given[i] = tonumber(known)
    else
      local number = fmt('%.0f', following)
      hset(rows, number, event_text(NOWC, key, body))
      if key then hset(keys, key, number) end
      numbers_given[i] = following
      following = following + 1
    end
  end
  put_extent(owner, name, first, following)
  return numbers_given
end

-- Removes the events before a number; the numbers of the others stay.
local function trim(owner, name, before)
  local first, following = extent_of(owner, name)
  before = math.min(before, following)
  if before <= first then return end
  local rows, keys = stream_key('e', owner, name), stream_key('K', owner, name)
  for number = first, before - 1 do
    local text = fmt('%.0f', number)
    local event = hget(rows, text)
    if event then
      local length = sub(event, 21, 24)
      if length ~= '----' then hdel(keys, sub(event, 25, 24 + tonumber(length))) end
      hdel(rows, text)
    end
  end
  put_extent(owner, name, before, following)
end

-- Removes all streams of an owner.
local function drop_streams(owner)
  local names = fields_of(P .. 'E:' .. owner)
  if #names == 0 then return end
  for i = 1, #names do
    drop(stream_key('e', owner, names[i]))
    drop(stream_key('K', owner, names[i]))
  end
  drop(P .. 'E:' .. owner)
end

-- Removes a record and everything that leads to it.
local function remove(r)
  if is_parked(r) then unpark_row(r@parked, r) end
  release_at_end(r)
  local id = r@id
  put_row(P .. 'w:n:' .. r@name, id, false)
  local words = r@words
  for i = 1, #words do put_row(P .. 'w:' .. words[i], id, false) end
  put_row(list_of(r@status), id, false)
  count(r, -1)
  displace(r)
  if r@status == PENDING and r@parked == '' then
    local gates = r@gates
    for i = 1, #gates, 2 do reopen(gates[i]) end
  end
  drop_streams(id)
  erase(r)
end
