-- The end of a call, or of a part of it: what waited is written.
local flush

do

-- Rows of a sorted list come as score and member, fields as field and value; `false` stands for what goes.
local function write_pairs(put, remove, key, changes, is_member_last)
  local puts, removes = {}, {}
  local at, removed = 0, 0
  for name, value in pairs(changes) do
    if not value then
      removed = removed + 1
      removes[removed] = name
    elseif is_member_last then
      puts[at + 1], puts[at + 2] = value, name
      at = at + 2
    else
      puts[at + 1], puts[at + 2] = name, value
      at = at + 2
    end
  end
  write(put, key, puts)
  write(remove, key, removes)
end

local function write_members(key, members)
  local adds, removes = {}, {}
  for member, present in pairs(members) do
    local list = present and adds or removes
    list[#list + 1] = member
  end
  write('SADD', key, adds)
  write('SREM', key, removes)
end

local function write_records()
  local values, gone, at = {}, {}, 0
  for id in pairs(unsaved) do
    local raw = raws[id]
    if raw then
      values[at + 1], values[at + 2] = id, raw
      at = at + 2
    else
      gone[#gone + 1] = id
    end
  end
  write('HSET', RECORDS, values)
  write('HDEL', RECORDS, gone)
  unsaved = {}
end

local function write_heads()
  for queue, lanes in pairs(touched) do
    for lane in pairs(lanes) do write_head(queue, lane) end
  end
  touched = {}
end

local function write_rest()
  for key, value in pairs(texts) do
    if value then call('SET', key, value) else call('DEL', key) end
  end
  for key, found in pairs(sets) do write_members(key, found.members) end
  for key, fields in pairs(counts) do
    for field, change in pairs(fields) do
      if change ~= 0 then add(key, field, change) end
    end
  end
  texts, sets, counts = {}, {}, {}
end

flush = function()
  for key in pairs(dropped) do call('UNLINK', key) end
  write_records()
  for key, fields in pairs(hashes) do write_pairs('HSET', 'HDEL', key, fields) end
  for key, rows in pairs(sorted) do write_pairs('ZADD', 'ZREM', key, rows, true) end
  dropped, hashes, sorted = {}, {}, {}
  write_rest()
  write_heads()
  if numbers.given and numbers.last then call('SET', P .. 'z', fmt('%.0f', numbers.last)) end
  begin()
end

end

-- The end of a call: what waits is written, and hints go out in one message.
local function finish()
  flush()
  if #hints == 0 then return end
  local said, once = {}, {}
  for i = 1, #hints do
    local text = hints[i]
    if not once[text] then
      once[text] = true
      said[#said + 1] = text
    end
  end
  -- No name has a line break.
  call('PUBLISH', P .. 'hints', table.concat(said, '\n'))
end
