-- Who owns a unique key: until when ("" for no end), and the id.
local UNTIL_QUEUED, UNTIL_ENDED, FOR_A_TIME, FOR_EVER = 0, 1, 2, 3

local function stored_owner(key)
  local text = get_text(P .. 'u:' .. key)
  if not text then return nil end
  local bar = string.find(text, '|', 1, true)
  return sub(text, bar + 1), sub(text, 1, bar - 1)
end

-- The task that owns the key now.
local function owner_of(key)
  local id, till = stored_owner(key)
  if id and (till == '' or till > NOWC) then return id end
  return nil
end

local function release_key(key)
  local id, till = stored_owner(key)
  if not id then return end
  if till ~= '' then zrem(P .. 'k', till .. key) end
  put_text(P .. 'u:' .. key, false)
end

local function put_key(key, id, till)
  if till ~= '' then zadd(P .. 'k', till .. key) end
  put_text(P .. 'u:' .. key, till .. '|' .. id)
end

-- Makes a task the owner of its key, which is free; stamps until when.
local function take_key(r)
  local key = r@unique
  if key == '' then return end
  release_key(key)
  local till = ''
  if r@scope == FOR_A_TIME then till = code(NOW + tonumber(r@unique_for)) end
  r@unique_until = till
  put_key(key, r@id, till)
end

local function release_if_mine(r)
  if stored_owner(r@unique) == r@id then release_key(r@unique) end
end

local function release_at_claim(r)
  if r@unique ~= '' and r@scope == UNTIL_QUEUED then release_if_mine(r) end
end

local function release_at_end(r)
  if r@unique ~= '' and r@scope <= UNTIL_ENDED then release_if_mine(r) end
end

-- A record that cannot be read does not say that it owns the key of its schedule, which would wait for ever.
local function release_of_schedule(id)
  local schedule = string.match(id, '^(.*)@[^@]*$')
  local key = schedule and 'schedule/' .. schedule
  if key and stored_owner(key) == id then release_key(key) end
end

-- Sets a record that cannot be read aside, so that it is seen and counted and the others go on.
local function quarantine(id, failed)
  hset(P .. 'x', id, reason(failed))
  release_of_schedule(id)
end
