-- Words that every script begins with: arguments, times, and the state of one call.
--
-- `r@queue` stands for a field of the header of a record: the names are put in for numbers when the scripts are made
-- (fields.rs), for Lua reads an array faster than a table with names.
local P = KEYS[1]
local call, try_call = redis.call, redis.pcall
local fmt, sub, floor = string.format, string.sub, math.floor
local PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED = 0, 1, 2, 3, 4

local next_arg = 0

local function arg()
  next_arg = next_arg + 1
  return ARGV[next_arg]
end

local function num()
  return tonumber(arg())
end

local function read_list()
  local list = {}
  for i = 1, num() do list[i] = arg() end
  return list
end

-- A value that may be missing: nothing, or the value behind "=".
local function opt()
  local text = arg()
  if text == '' then return false end
  return sub(text, 2)
end

-- Times are stored as 20 digits, ten quintillions above the microseconds since 1970: texts in the order of the times.
local LAST_TIME = 253402207200000000

local function code(micros)
  if micros > LAST_TIME then micros = LAST_TIME end
  if micros >= 0 then return fmt('10%018.0f', micros) end
  return fmt('%020.0f', 1e19 + micros)
end

local function micros_of(time)
  if sub(time, 1, 2) == '10' then return tonumber(sub(time, 3)) end
  return tonumber(time) - 1e19
end

local NOW
do
  local given = arg()
  if given == '' then
    local time = call('TIME')
    NOW = time[1] * 1000000 + time[2]
  else
    NOW = tonumber(given)
  end
end
local NOWC, NOW_TEXT = code(NOW), fmt('%.0f', NOW)
-- Times up to now, as the end of a range of texts that start with a time.
local DUE = '(' .. code(NOW + 1)

-- "n" is now, "@…" a time, "+…" a wait in microseconds.
local function resolve(due)
  local how = sub(due, 1, 1)
  if how == 'n' then return NOWC end
  if how == '@' then return sub(due, 2) end
  return code(NOW + tonumber(sub(due, 2)))
end

local function has(list, value)
  for i = 1, #list do
    if list[i] == value then return true end
  end
  return false
end
