-- Gates: who holds a place, and whether one more may pass.
local REOPEN_LIMIT, REOPEN_PAGES = 64, 8
local NO_LIMIT = 4294967295
-- The parts of a rule; see encode.rs.
local UNTIL, MAX, RATE_N, RATE_PER, INTERVAL, CAPACITY, PAUSED, WHY, BY, MAX_DEPTH = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10

local function has_rules()
  if seen.has_rules == nil then seen.has_rules = call('EXISTS', P .. 'R') == 1 end
  return seen.has_rules
end

-- What an operator set for a gate, or nil.
local function rule_of(key)
  if not has_rules() then return nil end
  local rule = seen.rules[key]
  if rule == nil then
    local stored = call('HGET', P .. 'R', key)
    rule = stored and cmsgpack.unpack(stored) or false
    if rule and rule[UNTIL] ~= '' and rule[UNTIL] <= NOWC then rule = false end
    seen.rules[key] = rule
  end
  return rule or nil
end

local function bucket_of(key)
  return tonumber(call('HGET', P .. 'b', key) or nil)
end

local function put_bucket(key, empty_at)
  hset(P .. 'b', key, fmt('%.0f', empty_at))
end

-- The time worth of starts that a rate allows at once.
local function full(rule)
  return rule[INTERVAL] * rule[CAPACITY]
end

-- Never is more used up than there is.
local function trim_bucket(key, rule)
  local empty_at, most = bucket_of(key), NOW + full(rule)
  if empty_at and empty_at > most then put_bucket(key, most) end
end

-- As rule_of; what is used up of its rate is cut to what there is.
local function live_rule(key)
  local rule = rule_of(key)
  if rule and rule[RATE_N] then trim_bucket(key, rule) end
  return rule
end

local function next_token(key, rule)
  local empty_at = math.max(bucket_of(key) or NOW, NOW)
  return empty_at + rule[INTERVAL] - full(rule)
end

local function tokens_of(key, rule)
  local used = math.max((bucket_of(key) or NOW) - NOW, 0)
  return floor(math.max(full(rule) - used, 0) / math.max(rule[INTERVAL], 1))
end

local function holders_of(key)
  return call('SCARD', P .. 'g:' .. key)
end

-- Nothing when the gate lets one more through; else why not, and when it opens by itself.
local function check_gate(key, limit, rule)
  if rule and rule[PAUSED] then
    local by = rule[BY] and ' by ' .. rule[BY] or ''
    return 'paused' .. by .. ': ' .. (rule[WHY] or 'no reason given')
  end
  local max = rule and rule[MAX] or limit
  if max then
    local held = math.min(holders_of(key), max)
    if held >= max then return fmt('%.0f of %.0f places are taken', held, max) end
  end
  if rule and rule[RATE_N] then
    local opens = next_token(key, rule)
    if opens > NOW then return fmt('rate of %.0f per %s is used up', rule[RATE_N], rule[RATE_PER]), code(opens) end
  end
  return nil
end

-- Takes a place in a gate that was checked.
local function enter_gate(key, id, rule)
  sadd(P .. 'g:' .. key, id)
  if rule and rule[RATE_N] then
    -- One number: the time at which the bucket would be empty (the generic cell rate algorithm).
    put_bucket(key, math.max(bucket_of(key) or NOW, NOW) + rule[INTERVAL])
  end
end

local function note_holds(id, holds)
  if #holds > 0 then hset(P .. 'G', id, cmsgpack.pack(holds)) end
end

local function own_limit(r, key)
  local gates = r@gates
  for i = 1, #gates, 2 do
    if gates[i] == key then return gates[i + 1] end
  end
  return nil
end

local function park_row(key, r)
  local own = fmt('%.0f', own_limit(r, key) or NO_LIMIT)
  local limit = call('HGET', P .. 'L', key)
  if not limit then
    hset(P .. 'L', key, own)
  elseif limit ~= '' and limit ~= own then
    -- Others wait here with another limit.
    hset(P .. 'L', key, '')
  end
  zadd(P .. 'P', key)
  zadd(P .. 'p:' .. key, order_of(r) .. r@id)
end

local function unpark_row(key, r)
  zrem(P .. 'p:' .. key, order_of(r) .. r@id)
  if call('EXISTS', P .. 'p:' .. key) == 0 then
    zrem(P .. 'P', key)
    hdel(P .. 'L', key)
  end
end

-- Whether one that finds this gate closed may have others behind it that find it open.
local function lets_others_through(key)
  return call('HGET', P .. 'L', key) == ''
end

local function set_timer(key, time)
  zadd(P .. 'v', time .. key)
end

local function next_timer()
  local first = call('ZRANGE', P .. 'v', 0, 0)[1]
  return first and sub(first, 1, 20)
end

-- The gates that every record has by its queue and its name; a name that stands for another has that one's, too.
local function implied_gates(r, stands_for)
  local keys = { 'queue/' .. r@queue, 'task/' .. r@name }
  if stands_for and stands_for ~= '' then keys[3] = 'task/' .. stands_for end
  return keys
end
