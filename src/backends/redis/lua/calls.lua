-- Commands with as many values as there are, and counters that go when they are nothing.

-- Lua hands on some thousand values at once.
local MANY = 4000

-- One command, or as many as its values need.
local function write(name, key, values)
  for from = 1, #values, MANY do
    call(name, key, unpack(values, from, math.min(from + MANY - 1, #values)))
  end
end

-- Adds to a counter that is a field.
local function add(key, field, change)
  if call('HINCRBY', key, field, change) <= 0 then call('HDEL', key, field) end
end
