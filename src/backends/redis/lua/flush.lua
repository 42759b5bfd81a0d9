-- The end of a call, or of a part of it: what waited is written.
local flush

do

local MANY = 2000

-- One command, or as many as its values need.
local function write(name, key, values)
  for from = 1, #values, MANY do
    call(name, key, unpack(values, from, math.min(from + MANY - 1, #values)))
  end
end

local function write_rows(key, rows)
  local adds, removes = {}, {}
  local added, removed = 0, 0
  for member, score in pairs(rows) do
    if score then
      adds[added + 1], adds[added + 2] = score, member
      added = added + 2
    else
      removed = removed + 1
      removes[removed] = member
    end
  end
  if added > 0 then write('ZADD', key, adds) end
  if removed > 0 then write('ZREM', key, removes) end
end

local function write_fields(key, fields)
  local puts, removes = {}, {}
  local put, removed = 0, 0
  for field, value in pairs(fields) do
    if value then
      puts[put + 1], puts[put + 2] = field, value
      put = put + 2
    else
      removed = removed + 1
      removes[removed] = field
    end
  end
  if put > 0 then write('HSET', key, puts) end
  if removed > 0 then write('HDEL', key, removes) end
end

local function write_members(key, members)
  local adds, removes = {}, {}
  for member, present in pairs(members) do
    local list = present and adds or removes
    list[#list + 1] = member
  end
  if #adds > 0 then write('SADD', key, adds) end
  if #removes > 0 then write('SREM', key, removes) end
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
  if at > 0 then write('HSET', RECORDS, values) end
  if #gone > 0 then write('HDEL', RECORDS, gone) end
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
      if change ~= 0 and call('HINCRBY', key, field, change) <= 0 then call('HDEL', key, field) end
    end
  end
  texts, sets, counts = {}, {}, {}
end

flush = function()
  for key in pairs(dropped) do call('UNLINK', key) end
  write_records()
  for key, fields in pairs(hashes) do write_fields(key, fields) end
  for key, rows in pairs(sorted) do write_rows(key, rows) end
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
