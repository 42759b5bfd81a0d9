-- Records: one value each, by id in the hash t. See record.rs for its parts.
local RECORDS = P .. 't'
-- Parts longer than this lie beside the record, so that they are not written again with every change of it.
local BIG = 4096
local BLANK = '--------------------'
local NO_TOKEN = '--------------------------------'
local NUMBERS = '>I8I4I8I4I4I4I2I2I4I8'
local PARTS = { 'i', 'a', 's', 'r', 'e', 'g', 'p', 'o', 'h', 'w' }

local read_record

do

local function corrupt(id, why)
  error({ corrupt = 'the stored record "' .. id .. '" cannot be read: ' .. why }, 0)
end

local function given(time)
  return time ~= BLANK and time or ''
end

-- Whether the parts follow one another up to the end: a letter, the length in eight digits (dashes for one that lies
-- beside), the text.
local function are_whole(parts)
  local at, last = 1, #parts
  while at <= last do
    local length = sub(parts, at + 1, at + 8)
    if length == '--------' then
      at = at + 9
    elseif string.find(length, '^%d%d%d%d%d%d%d%d$') then
      at = at + 9 + tonumber(length)
    else
      return false
    end
  end
  return at == last + 1
end

local function parse(id, raw)
  local revision, attempt, leases, lost, forgiven, runs, names, worker, special, fence =
    struct.unpack(NUMBERS, raw, 128)
  local behind = 208 + worker + names
  local text = sub(raw, 208 + worker, behind - 1)
  local own, queue, name, version = string.match(text, '^(%Z*)%z(%Z*)%z(%Z*)%z(%Z*)%z$')
  local r = {}
  r@id, r@queue, r@name, r@version = own, queue, name, version
  r@status, r@cancel_requested, r@woken = tonumber(sub(raw, 1, 1)), tonumber(sub(raw, 2, 2)), tonumber(sub(raw, 3, 3))
  r@failed, r@resulted, r@big = tonumber(sub(raw, 4, 4)), tonumber(sub(raw, 5, 5)), tonumber(sub(raw, 7, 7))
  r@priority, r@run_at, r@seq = 255 - tonumber(sub(raw, 9, 11)), sub(raw, 12, 31), tonumber(sub(raw, 32, 47))
  r@created_at, r@started_at = sub(raw, 48, 67), given(sub(raw, 68, 87))
  r@finished_at, r@until = given(sub(raw, 88, 107)), given(sub(raw, 108, 127))
  r@revision, r@fence, r@attempt, r@leases = revision, fence, attempt, leases
  r@lost, r@forgiven, r@runs = lost, forgiven, runs
  r@worker = sub(raw, 208, 207 + worker)
  local token = sub(raw, 176, 207)
  if token == NO_TOKEN then token = '' end
  if worker > 0 then r@lease_token, r@token = token, '' else r@lease_token, r@token = '', token end
  if special > 0 then
    r@expires_at, r@gates, r@holds, r@parked, r@parked_since, r@opens_at, r@unique, r@scope, r@unique_for,
      r@unique_until, r@prefer, r@prefer_until, r@words, r@parent =
      unpack(cmsgpack.unpack(sub(raw, behind, behind + special - 1)))
  else
    r@expires_at, r@gates, r@holds, r@parked, r@parked_since, r@opens_at = '', {}, {}, '', '', ''
    r@unique, r@scope, r@unique_for, r@unique_until = '', 0, '0', ''
    r@prefer, r@prefer_until, r@words, r@parent = '', '', {}, ''
  end
  r@tail = sub(raw, behind + special)
  return own == id and r@status and r@seq and r@priority and type(r@parent) == 'string' and are_whole(r@tail) and r
end

-- The fields of a record, from its value.
read_record = function(id, raw)
  local read, r = pcall(parse, id, raw)
  if not read or not r or sub(raw, 8, 8) ~= 'A' then corrupt(id, 'it is damaged') end
  return r
end

end

local function raw_of(id)
  local raw = raws[id]
  if raw == nil then
    raw = call('HGET', RECORDS, id)
    raws[id] = raw
  end
  return raw
end

-- Reads many at once: those that are not known yet.
local function read_ahead(ids)
  local wanted = {}
  for i = 1, #ids do
    if raws[ids[i]] == nil then wanted[#wanted + 1] = ids[i] end
  end
  for from = 1, #wanted, MANY do
    local to = math.min(from + MANY - 1, #wanted)
    local found = call('HMGET', RECORDS, unpack(wanted, from, to))
    for i = from, to do raws[wanted[i]] = found[i - from + 1] end
  end
end

-- The record, or nil. One that cannot be read is an error.
local function load(id)
  local r = seen.records[id]
  if r then return r end
  local raw = raw_of(id)
  if not raw then return nil end
  r = read_record(id, raw)
  seen.records[id] = r
  return r
end

local function clone(r)
  return { unpack(r, 1, @@) }
end

-- Larger priority, earlier due time, earlier creation.
local function order_of(r)
  return fmt('%03d', 255 - r@priority) .. r@run_at .. fmt('%016.0f', r@seq)
end

local part_of, save, erase

do

local function value_of(r)
  local special, kind = '', '0'
  if r@expires_at ~= '' or #r@gates > 0 or #r@holds > 0 or r@parked ~= '' or r@unique ~= '' or r@prefer ~= '' then
    kind = '2'
  elseif #r@words > 0 or r@parent ~= '' then
    kind = '1'
  end
  if kind ~= '0' then
    special = cmsgpack.pack({ r@expires_at, r@gates, r@holds, r@parked, r@parked_since, r@opens_at, r@unique, r@scope,
      r@unique_for, r@unique_until, r@prefer, r@prefer_until, r@words, r@parent })
  end
  local names = table.concat({ r@id, r@queue, r@name, r@version, '' }, '\0')
  local function time(text) return text ~= '' and text or BLANK end
  local token = r@worker ~= '' and r@lease_token or r@token
  return table.concat({
    r@status, r@cancel_requested, r@woken, r@failed, r@resulted, kind, r@big, 'A', order_of(r), r@created_at,
    time(r@started_at), time(r@finished_at), time(r@until),
    struct.pack(NUMBERS, r@revision, r@attempt, r@leases, r@lost, r@forgiven, r@runs, #names, #r@worker, #special, r@fence),
    token ~= '' and token or NO_TOKEN, r@worker, names, special, r@tail,
  })
end

-- One of the parts of a record behind its fields.
local function find_part(tail, letter)
  local at = 1
  while at < #tail do
    local length = sub(tail, at + 1, at + 8)
    local size = length == '--------' and 0 or tonumber(length)
    if sub(tail, at, at) == letter then return at, at + 9 + size, length == '--------' end
    at = at + 9 + size
  end
  return nil
end

part_of = function(r, letter)
  local from, behind, beside = find_part(r@tail, letter)
  if not from then return false end
  if beside then return hget(P .. 'b', r@id .. '\0' .. letter) end
  return sub(r@tail, from + 9, behind - 1)
end

-- Puts a part in, or takes it out (false).
local function put_part(r, letter, text)
  local tail = r@tail
  local from, behind, beside = find_part(tail, letter)
  if from then tail = sub(tail, 1, from - 1) .. sub(tail, behind) end
  if beside then hdel(P .. 'b', r@id .. '\0' .. letter) end
  if text and #text > BIG then
    hset(P .. 'b', r@id .. '\0' .. letter, text)
    tail = tail .. letter .. '--------'
    r@big = 1
  elseif text then
    tail = tail .. letter .. fmt('%08d', #text) .. text
  end
  r@tail = tail
end

-- Puts the value of a record in place, and parts: a flat list of letters and texts, false to remove one.
save = function(r, parts)
  if parts then
    for i = 1, #parts, 2 do put_part(r, parts[i], parts[i + 1]) end
  end
  local id = r@id
  set(raws, id, value_of(r))
  set(unsaved, id, true)
  set(seen.records, id, r)
end

erase = function(r)
  local id = r@id
  if r@big == 1 then
    for i = 1, #PARTS do hdel(P .. 'b', id .. '\0' .. PARTS[i]) end
  end
  set(raws, id, false)
  set(unsaved, id, true)
  set(seen.records, id, nil)
end

end

-- A record as it is answered: its value, and after it what lies beside, letter by letter.
local function whole(id)
  local raw = raw_of(id)
  if not raw or sub(raw, 7, 7) ~= '1' then return raw end
  local answer = { raw }
  for i = 1, #PARTS do
    local text = hget(P .. 'b', id .. '\0' .. PARTS[i])
    if text then
      answer[#answer + 1] = PARTS[i]
      answer[#answer + 1] = text
    end
  end
  return answer
end

local function is_ended(r)
  return r@status >= SUCCEEDED
end

local function is_parked(r)
  return r@status == PENDING and r@parked ~= ''
end
