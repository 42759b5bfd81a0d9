-- Records: a hash with a packed header that the scripts read (field h), what never changes (i), payloads and texts.
local PARTS = { 'h', 'i', 'a', 'st', 're', 'er', 'eg', 'ph', 'pg', 'at', 'pr' }

local function record_key(id)
  return P .. 't:' .. id
end

local function corrupt(id, why)
  error({ corrupt = 'the stored record "' .. id .. '" cannot be read: ' .. why }, 0)
end

local function read_header(id, raw)
  if type(raw) == 'table' then corrupt(id, reason(raw)) end
  local read, r = pcall(cmsgpack.unpack, raw)
  if not read or type(r) ~= 'table' or #r ~= @@ or r@id ~= id or type(r@seq) ~= 'number' then
    corrupt(id, 'its header is damaged')
  end
  return r
end

-- The record, or nil. One that cannot be read is an error.
local function load(id)
  local r = seen.records[id]
  if r ~= nil then return r or nil end
  local raw = try_call('HGET', record_key(id), 'h')
  if not raw then
    seen.records[id] = false
    return nil
  end
  r = read_header(id, raw)
  seen.records[id], seen.raws[id] = r, raw
  return r
end

local function clone(r)
  return { unpack(r, 1, @@) }
end

-- Writes the header, and fields beside it: a flat list of names and values, false to remove one.
local function save(r, extra)
  local id = r@id
  local key, raw, before = record_key(id), cmsgpack.pack(r), seen.raws[id]
  local set, gone = { 'HSET', key, 'h', raw }, nil
  if extra then
    for i = 1, #extra, 2 do
      local field, value = extra[i], extra[i + 1]
      if careful and before then
        local old = call('HGET', key, field)
        if old then do_undo({ 'HSET', key, field, old }) else do_undo({ 'HDEL', key, field }) end
      end
      if value then
        set[#set + 1] = field
        set[#set + 1] = value
      else
        gone = gone or { 'HDEL', key }
        gone[#gone + 1] = field
      end
    end
  end
  call(unpack(set))
  if gone then call(unpack(gone)) end
  if before then do_undo({ 'HSET', key, 'h', before }) else do_undo({ 'UNLINK', key }) end
  seen.records[id], seen.raws[id] = r, raw
end

-- All parts of a record as they are stored now.
local function whole(id)
  return call('HMGET', record_key(id), unpack(PARTS))
end

local function is_ended(r)
  return r@status >= SUCCEEDED
end

local function is_parked(r)
  return r@status == PENDING and r@parked ~= ''
end

-- Larger priority, earlier due time, earlier creation.
local function order_of(r)
  return fmt('%03d', 255 - r@priority) .. r@run_at .. fmt('%016.0f', r@seq)
end
-- The length of an order; the id follows it in rows.
local ORDER = 39
