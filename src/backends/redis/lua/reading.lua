-- Reading. Each call sees one moment; long lists are read page by page.
local reads = {}

-- The parts of records, in the order of the ids. A record that is no hash is answered with its fault.
function reads.get()
  local found = {}
  for i = 1, num() do
    local parts = try_call('HMGET', record_key(arg()), unpack(PARTS))
    found[i] = parts.err and { 'fault', parts.err } or parts
  end
  return { NOWC, found }
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
  for i = 1, #found do
    local parts = try_call('HMGET', record_key(found[i][2]), unpack(PARTS))
    found[i][3] = parts.err and { 'fault', parts.err } or parts
  end
  return { NOWC, found }
end

-- Ids of leased records ("ended" ones or all), or of those that start with a text.
function reads.ids()
  local which, prefix, limit = arg(), arg(), num()
  if which == 'ended' then
    return call('ZRANGEBYSCORE', P .. 'l', '-inf', NOW, 'LIMIT', 0, limit)
  elseif which == 'leased' then
    return call('ZRANGE', P .. 'l', 0, limit - 1)
  end
  -- No text has a byte of 255.
  return call('ZRANGE', P .. 'o', '[' .. prefix, '[' .. prefix .. '\255', 'BYLEX', 'LIMIT', 0, limit)
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

function reads.counts()
  return call('HGETALL', P .. 'c')
end

-- A page of all records by id, and whether the list of their status has them.
function reads.check()
  local behind, limit = opt(), num()
  local ids = call('ZRANGE', P .. 'o', behind and '(' .. behind or '-', '+', 'BYLEX', 'LIMIT', 0, limit)
  local found = {}
  for i = 1, #ids do
    local parts = try_call('HMGET', record_key(ids[i]), unpack(PARTS))
    local read, r = pcall(read_header, ids[i], parts.err and parts or parts[1])
    local listed = read and call('ZSCORE', P .. 's:' .. r@status, ids[i])
    found[i] = { ids[i], parts.err and { 'fault', parts.err } or parts, listed and 1 or 0 }
  end
  return found
end

return reads[arg()]()
