-- Gates: who holds a place, and whether one more may pass.
local REOPEN_LIMIT, REOPEN_PAGES = 64, 8
local NO_LIMIT = 4294967295

local function has_rules()
  if seen.has_rules == nil then seen.has_rules = hashes[P .. 'R'] ~= nil or call('EXISTS', P .. 'R') == 1 end
  return seen.has_rules
end

-- What an operator set for a gate, or nil.
local function rule_of(key)
  if not has_rules() then return nil end
  local rule = seen.rules[key]
  if rule == nil then
    local stored = hget(P .. 'R', key)
    rule = stored and cmsgpack.unpack(stored) or false
    if rule and rule.ends ~= '' and rule.ends <= NOWC then rule = false end
    seen.rules[key] = rule
  end
  return rule or nil
end

local function bucket_of(key)
  return tonumber(hget(P .. 'B', key) or nil)
end

local function put_bucket(key, empty_at)
  hset(P .. 'B', key, fmt('%.0f', empty_at))
end

-- The time worth of starts that a rate allows at once.
local function full(rule)
  return rule.interval * rule.capacity
end

-- Never is more used up than there is.
local function trim_bucket(key, rule)
  local empty_at, most = bucket_of(key), NOW + full(rule)
  if empty_at and empty_at > most then put_bucket(key, most) end
end

-- As rule_of; what is used up of its rate is cut to what there is.
local function live_rule(key)
  local rule = rule_of(key)
  if rule and rule.n then trim_bucket(key, rule) end
  return rule
end

-- When the next start is allowed, once so many more have started now.
local function next_token(key, rule, starts)
  local empty_at = math.max(bucket_of(key) or NOW, NOW)
  return empty_at + rule.interval * ((starts or 0) + 1) - full(rule)
end

local function tokens_of(key, rule)
  local used = math.max((bucket_of(key) or NOW) - NOW, 0)
  return floor(math.max(full(rule) - used, 0) / math.max(rule.interval, 1))
end

local function holders_of(key)
  return set_of(P .. 'g:' .. key).size
end

-- Nothing when the gate lets one more through; else why not, and when it opens by itself.
local function check_gate(key, limit, rule)
  if rule and rule.paused then
    local by = rule.by and ' by ' .. rule.by or ''
    return 'paused' .. by .. ': ' .. (rule.why or 'no reason given')
  end
  local max = rule and rule.max or limit
  if max then
    local held = math.min(holders_of(key), max)
    if held >= max then return fmt('%.0f of %.0f places are taken', held, max) end
  end
  if rule and rule.n then
    local opens = next_token(key, rule)
    if opens > NOW then return fmt('rate of %.0f per %s is used up', rule.n, rule.per), code(opens) end
  end
  return nil
end

-- Notes that a record takes a place in a gate: one, however many ways lead to it. A task can give itself the gate of its
-- own name.
local function note_place(holds, entering, key, rule)
  for i = 1, #holds do
    if holds[i] == key then return end
  end
  holds[#holds + 1] = key
  entering[#holds] = rule or false
end

-- Takes a place in a gate that was checked.
local function enter_gate(key, id, rule)
  put_member(P .. 'g:' .. key, id, true)
  if rule and rule.n then
    -- One number: the time at which the bucket would be empty (the generic cell rate algorithm).
    put_bucket(key, math.max(bucket_of(key) or NOW, NOW) + rule.interval)
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
  local limit = hget(P .. 'L', key)
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
  if not first_row(P .. 'p:' .. key) then
    zrem(P .. 'P', key)
    hdel(P .. 'L', key)
  end
end

-- Whether one that finds this gate closed may have others behind it that find it open.
local function lets_others_through(key)
  return hget(P .. 'L', key) == ''
end

local function set_timer(key, time)
  zadd(P .. 'v', time .. key)
end

local function next_timer()
  local first = first_row(P .. 'v')
  return first and sub(first, 1, 20)
end

-- The gates that every record has by its queue and its name; a name that stands for another has that one's, too.
local function implied_gates(r, stands_for)
  local keys = { 'queue/' .. r@queue, 'task/' .. r@name }
  if stands_for and stands_for ~= '' then keys[3] = 'task/' .. stands_for end
  return keys
end
