-- Reading. Each call sees one moment; long lists are read page by page.
local reads = {}

-- Records as they are answered, in the order of the ids.
local function all_of(ids)
  read_ahead(ids)
  local found = {}
  for i = 1, #ids do found[i] = whole(ids[i]) end
  return found
end

function reads.get()
  local ids = {}
  for i = 1, num() do ids[i] = arg() end
  return { NOWC, all_of(ids) }
end

-- Records by several indexes at once, in order of creation: numbers, ids and parts.
function reads.scan()
  local keys, behind, newest_first, limit = {}, nil, nil, nil
  for i = 1, num() do keys[i] = P .. arg() end
  behind, newest_first, limit = opt(), arg() == '1', num()
  local found = {}
  for i = 1, #keys do
    local rows
    if newest_first then
      rows = call('ZREVRANGEBYSCORE', keys[i], behind and '(' .. behind or '+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, limit)
    else
      rows = call('ZRANGEBYSCORE', keys[i], behind and '(' .. behind or '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
    end
    for row = 1, #rows, 2 do found[#found + 1] = { tonumber(rows[row + 1]), rows[row] } end
  end
  if #keys > 1 then
    table.sort(found, function(a, b)
      if newest_first then return a[1] > b[1] end
      return a[1] < b[1]
    end)
  end
  for i = #found, limit + 1, -1 do found[i] = nil end
  local ids = {}
  for i = 1, #found do ids[i] = found[i][2] end
  local values = all_of(ids)
  for i = 1, #found do found[i][3] = values[i] end
  return { NOWC, found }
end

-- Ids of leased records: "ended" ones or all.
function reads.ids()
  local which, limit = arg(), num()
  if which == 'ended' then
    return call('ZRANGEBYSCORE', P .. 'l', '-inf', NOW, 'LIMIT', 0, limit)
  end
  return call('ZRANGE', P .. 'l', 0, limit - 1)
end

-- Those ids of a page of one list that start with a text, and the number that the page ends with ("" for the last).
function reads.starting()
  local list, behind, prefix, limit = P .. arg(), arg(), arg(), num()
  local rows = call('ZRANGEBYSCORE', list, '(' .. behind, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
  local found, size = {}, #prefix
  for i = 1, #rows, 2 do
    if sub(rows[i], 1, size) == prefix then found[#found + 1] = rows[i] end
  end
  return { #rows == 2 * limit and rows[#rows] or '', found }
end

function reads.events()
  local owner, name, from, limit = arg(), arg(), num(), num()
  local first, following = 1, 1
  local text = call('HGET', P .. 'E:' .. owner, name)
  if text then
    first, following = string.match(text, '^(%d+) (%d+)$')
    first, following = tonumber(first), tonumber(following)
  end
  from = math.max(from, first)
  local rows, found = P .. 'e:' .. owner .. '\0' .. name, {}
  for number = from, math.min(following, from + limit) - 1 do
    local event = call('HGET', rows, fmt('%.0f', number))
    if event then found[#found + 1] = { number, event } end
  end
  return found
end

-- Marks whose time is not over, in the order of their keys.
function reads.marks()
  local prefix, from, limit = arg(), arg(), num()
  local found = {}
  while #found < limit do
    local wanted = math.min(limit - #found, 256)
    local keys = call('ZRANGE', P .. 'm', from, '[' .. prefix .. '\255', 'BYLEX', 'LIMIT', 0, wanted)
    for i = 1, #keys do
      local text = call('HGET', P .. 'M', keys[i])
      local read, mark = pcall(cmsgpack.unpack, text)
      if read and type(mark) == 'table' and (mark[3] == '' or mark[3] > NOWC) then
        found[#found + 1] = { keys[i], mark[1], mark[2], mark[3], mark[4] }
      end
    end
    if #keys < wanted then break end
    from = '(' .. keys[#keys]
  end
  return found
end

-- Streams or owners of keys of a part of all keys, and where to go on ("0" at the end).
function reads.holdings()
  local kind, cursor, limit = arg(), arg(), num()
  local page = call('SCAN', cursor, 'MATCH', P .. kind .. ':*', 'COUNT', limit)
  local keys, found, skip = page[2], {}, #P + 3
  for i = 1, #keys do
    if kind == 'E' then
      local fields, owner = call('HGETALL', keys[i]), sub(keys[i], skip)
      for at = 1, #fields, 2 do
        local first, following = string.match(fields[at + 1], '^(%d+) (%d+)$')
        found[#found + 1] = { owner, fields[at], tonumber(first), tonumber(following) }
      end
    else
      local till, id = string.match(call('GET', keys[i]) or '', '^(%d*)|(.*)$')
      if id and (till == '' or till > NOWC) then found[#found + 1] = { sub(keys[i], skip), id, till } end
    end
  end
  return { page[1], found }
end

function reads.counts()
  return call('HGETALL', P .. 'c')
end

-- Some of all records, and whether the list of their status has them; and where to go on ("0" at the end).
function reads.check()
  local page = call('HSCAN', RECORDS, arg(), 'COUNT', num())
  local found, rows = {}, page[2]
  for i = 1, #rows, 2 do
    local id, raw = rows[i], rows[i + 1]
    raws[id] = raw
    local read, r = pcall(read_record, id, raw)
    local list = read and P .. 's:' .. (r@status == RUNNING and PENDING or r@status)
    found[#found + 1] = { id, whole(id), list and call('ZSCORE', list, id) and 1 or 0 }
  end
  return { page[1], found }
end

-- Ids of a page of one list that lead nowhere, and the number that the page ends with ("" for the last).
function reads.astray()
  local list, behind, limit = P .. arg(), arg(), num()
  local rows = call('ZRANGEBYSCORE', list, '(' .. behind, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
  local ids, found = {}, {}
  for i = 1, #rows, 2 do ids[#ids + 1] = rows[i] end
  read_ahead(ids)
  for i = 1, #ids do
    if not raws[ids[i]] then found[#found + 1] = ids[i] end
  end
  return { #rows == 2 * limit and rows[#rows] or '', found }
end

return reads[arg()]()
