-- Writes that can be taken back. A script that fails keeps what it wrote, so every commit notes how to undo it; rows of
-- indexes that no verb reads are gathered and written at the end, many in one command.
local undo = {}
-- Whether several operations stand or fall together: then what a write covers is read first.
local careful = false
local hints = {}
local numbers = { last = nil, given = false }
local later = {}
local counts = {}
local graves = {}
-- What was read in this call.
local seen = { records = {}, raws = {}, heads = {}, rules = {}, has_rules = nil, taken = {} }

local function do_undo(entry)
  undo[#undo + 1] = entry
end

local function zadd(key, member)
  if call('ZADD', key, 0, member) == 1 then do_undo({ 'ZREM', key, member }) end
end

local function zrem(key, member)
  local gone = call('ZREM', key, member) == 1
  if gone then do_undo({ 'ZADD', key, 0, member }) end
  return gone
end

local function hset(key, field, value)
  local old = call('HGET', key, field)
  if old == value then return end
  call('HSET', key, field, value)
  if old then do_undo({ 'HSET', key, field, old }) else do_undo({ 'HDEL', key, field }) end
end

local function hdel(key, field)
  local old = call('HGET', key, field)
  if old then
    call('HDEL', key, field)
    do_undo({ 'HSET', key, field, old })
  end
end

local function sadd(key, member)
  if call('SADD', key, member) == 1 then do_undo({ 'SREM', key, member }) end
end

local function srem(key, member)
  if call('SREM', key, member) == 1 then do_undo({ 'SADD', key, member }) end
end

local function put_text(key, value)
  local old = call('GET', key)
  call('SET', key, value)
  if old then do_undo({ 'SET', key, old }) else do_undo({ 'DEL', key }) end
end

local function delete_text(key)
  local old = call('GET', key)
  if old then
    call('DEL', key)
    do_undo({ 'SET', key, old })
  end
end

-- Removes a whole key; while it may have to come back it only lies aside.
local function drop(key)
  if not careful then
    call('UNLINK', key)
  elseif call('EXISTS', key) == 1 then
    local grave = P .. '~' .. #graves
    call('RENAME', key, grave)
    graves[#graves + 1] = grave
    do_undo({ 'RENAME', grave, key })
  end
end

local function put_later(key, member, score)
  local members = later[key]
  if not members then
    members = {}
    later[key] = members
  end
  local before = members[member]
  members[member] = score
  -- Not a function: making one walks all that the functions of the script share.
  do_undo({ false, members, member, before })
end

-- The rows are part of the call, whatever became of single commits: written before its end, or before they are read.
local function write_later()
  for key, members in pairs(later) do
    local adds, removes = {}, {}
    for member, score in pairs(members) do
      if score then
        adds[#adds + 1] = score
        adds[#adds + 1] = member
        if #adds >= 1000 then
          call('ZADD', key, unpack(adds))
          adds = {}
        end
      else
        removes[#removes + 1] = member
        if #removes >= 1000 then
          call('ZREM', key, unpack(removes))
          removes = {}
        end
      end
    end
    if #adds > 0 then call('ZADD', key, unpack(adds)) end
    if #removes > 0 then call('ZREM', key, unpack(removes)) end
  end
  later = {}
end

local function add_count(key, field, change)
  local fields = counts[key]
  if not fields then
    fields = {}
    counts[key] = fields
  end
  local before = fields[field]
  fields[field] = (before or 0) + change
  do_undo({ false, fields, field, before })
end

local function count_of(key, field)
  local stored = tonumber(call('HGET', key, field) or 0)
  local fields = counts[key]
  return stored + (fields and fields[field] or 0)
end

local function write_counts()
  for key, fields in pairs(counts) do
    for field, change in pairs(fields) do
      if change ~= 0 and call('HINCRBY', key, field, change) <= 0 then call('HDEL', key, field) end
    end
  end
  counts = {}
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
local function begin(several)
  undo = { numbers = numbers.last, hints = #hints, graves = #graves }
  careful = several
end

local function roll_back()
  for i = #undo, 1, -1 do
    local entry = undo[i]
    if entry[1] then call(unpack(entry)) else entry[2][entry[3]] = entry[4] end
  end
  numbers.last = undo.numbers
  for i = #hints, undo.hints + 1, -1 do hints[i] = nil end
  for i = #graves, undo.graves + 1, -1 do graves[i] = nil end
  seen = { records = {}, raws = {}, heads = {}, rules = {}, has_rules = nil, taken = {} }
  undo = {}
end

-- The end of a call: gathered rows, counts, the last number, and hints in one message.
local function finish()
  write_later()
  write_counts()
  if numbers.given and numbers.last then call('SET', P .. 'z', fmt('%.0f', numbers.last)) end
  for i = 1, #graves do call('UNLINK', graves[i]) end
  if #hints > 0 then
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
end

-- What went wrong, as text.
local function reason(failed)
  if type(failed) == 'table' then return failed.corrupt or failed.err or 'unknown' end
  return tostring(failed)
end
