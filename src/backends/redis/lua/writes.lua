-- Writes wait here, in tables, until the end of the call: what reads meets them there, a refused commit takes its own
-- back out of them, and each key is written with few commands that have many values.
local undo, undo_at = {}, 0
local hints = {}
local numbers = { last = nil, given = false }
-- By key: members with their score, fields with their value, texts; false for what is to go.
local sorted, hashes, texts, sets, dropped = {}, {}, {}, {}, {}
local counts = {}
-- Records by id as they are now, false for none, and those of them that are not written yet.
local raws, unsaved = {}, {}
-- Lanes that rows entered or left, by queue.
local touched = {}
-- What was read in this call, in another form.
local seen = { records = {}, rules = {}, has_rules = nil }

-- Every change of a table above, so that it can be taken back.
local function set(table, key, value)
  undo[undo_at + 1], undo[undo_at + 2], undo[undo_at + 3] = table, key, table[key]
  undo_at = undo_at + 3
  table[key] = value
end

local function of_key(tables, key)
  local found = tables[key]
  if not found then
    found = {}
    tables[key] = found
  end
  return found
end

local function put_row(key, member, score)
  set(of_key(sorted, key), member, score)
end

local function zadd(key, member)
  put_row(key, member, 0)
end

local function zrem(key, member)
  put_row(key, member, false)
end

-- Rows of score 0 in their order, behind `from` ("-", or "(" and a row) and before `to`: those that are stored, and those
-- that wait to be.
local function rows_between(key, from, to, limit)
  local waiting = sorted[key]
  if not waiting or not next(waiting) then
    return call('ZRANGE', key, from, to, 'BYLEX', 'LIMIT', 0, limit)
  end
  local low, high = from ~= '-' and sub(from, 2), to ~= '+' and sub(to, 2)
  local found, gone = {}, 0
  for member, score in pairs(waiting) do
    if (not low or member > low) and (not high or member < high) then
      if score then found[#found + 1] = member else gone = gone + 1 end
    end
  end
  local changed = #found > 0
  local stored = call('ZRANGE', key, from, to, 'BYLEX', 'LIMIT', 0, limit + gone)
  for i = 1, #stored do
    if waiting[stored[i]] == nil then found[#found + 1] = stored[i] end
  end
  if changed then table.sort(found) end
  for i = #found, limit + 1, -1 do found[i] = nil end
  return found
end

local function first_row(key)
  return rows_between(key, '-', '+', 1)[1]
end

local function hget(key, field)
  local waiting = hashes[key]
  local value = waiting and waiting[field]
  if value ~= nil then return value end
  if dropped[key] then return false end
  return call('HGET', key, field)
end

local function hset(key, field, value)
  set(of_key(hashes, key), field, value)
end

local function hdel(key, field)
  set(of_key(hashes, key), field, false)
end

local function fields_of(key)
  local found, waiting = {}, hashes[key] or {}
  local stored = dropped[key] and {} or call('HKEYS', key)
  for i = 1, #stored do
    if waiting[stored[i]] == nil then found[#found + 1] = stored[i] end
  end
  for field, value in pairs(waiting) do
    if value then found[#found + 1] = field end
  end
  return found
end

-- Removes a whole hash.
local function drop(key)
  set(dropped, key, true)
  set(hashes, key, nil)
end

local function get_text(key)
  local value = texts[key]
  if value ~= nil then return value end
  return call('GET', key)
end

local function put_text(key, value)
  set(texts, key, value)
end

-- A set that is counted: its size, and the members that change.
local function set_of(key)
  local found = sets[key]
  if not found then
    found = { size = call('SCARD', key), members = {} }
    sets[key] = found
  end
  return found
end

local function put_member(key, member, present)
  local found = set_of(key)
  local before = found.members[member]
  if before == nil then before = call('SISMEMBER', key, member) == 1 end
  if before == present then return end
  set(found.members, member, present)
  set(found, 'size', found.size + (present and 1 or -1))
end

local function add_count(key, field, change)
  local fields = of_key(counts, key)
  set(fields, field, (fields[field] or 0) + change)
end

local function count_of(key, field)
  local stored = tonumber(call('HGET', key, field) or 0)
  local fields = counts[key]
  return stored + (fields and fields[field] or 0)
end

local function touch(queue, lane)
  set(of_key(touched, queue), lane, true)
end

-- The next number of the store: creation sequences and versions of marks.
local function next_number()
  local last = numbers.last
  if not last then
    last = tonumber(call('GET', P .. 'z') or 0)
    if last == 0 then
      -- A number given twice would take a record out of the indexes; marks have theirs from here, too.
      for status = PENDING, CANCELLED do
        local newest = call('ZREVRANGE', P .. 's:' .. status, 0, 0, 'WITHSCORES')
        if newest[2] then last = math.max(last, tonumber(newest[2]) + 4294967296) end
      end
    end
  end
  numbers.last = last + 1
  numbers.given = true
  return last + 1
end

local function hint(text)
  hints[#hints + 1] = text
end

-- A place to go back to.
local function begin()
  undo_at = 0
  undo.numbers, undo.hints = numbers.last, #hints
end

local function roll_back()
  for i = undo_at - 2, 1, -3 do undo[i][undo[i + 1]] = undo[i + 2] end
  undo_at = 0
  numbers.last = undo.numbers
  for i = #hints, undo.hints + 1, -1 do hints[i] = nil end
  seen = { records = {}, rules = {}, has_rules = nil }
end

-- What went wrong, as text.
local function reason(failed)
  if type(failed) == 'table' then return failed.corrupt or failed.err or 'unknown' end
  return tostring(failed)
end
