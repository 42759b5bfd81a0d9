-- Refusals and guards. A refusal is thrown: it takes back what its commit wrote.
local function refuse(...)
  error({ refusal = { ... } }, 0)
end

local function existing(id)
  local r = load(id)
  if not r then refuse('N', id) end
  return r
end

local function refuse_status(r, wanted)
  refuse('S', r@id, r@status, wanted)
end

-- Refuses one more task in a full queue: one that is made, moved there or revived.
local function check_depth(queue)
  local rule = rule_of('queue/' .. queue)
  local most = rule and rule.max_depth
  if most and count_of(P .. 'W', queue) >= most then refuse('Q', queue, most) end
end

local guards = {}

guards.A = function()
  local id = arg()
  if load(id) then refuse('X', id) end
end

guards.O = function()
  local r = existing(arg())
  if is_ended(r) then refuse_status(r, 'changed') end
end

local function check_held(r, fence, token)
  if r@worker ~= '' then
    if r@status ~= RUNNING or r@fence ~= fence or r@lease_token ~= token then refuse('L', r@id) end
  elseif r@fence == fence and r@token == token then
    refuse('D', r@id)
  else
    refuse('L', r@id)
  end
end

guards.H = function()
  local r, fence, token = existing(arg()), num(), arg()
  check_held(r, fence, token)
end

guards.E = function()
  local r, fence = existing(arg()), num()
  if r@worker == '' or r@fence ~= fence then refuse('L', r@id) end
  if r@until > NOWC then refuse('E', r@id) end
end

guards.R = function()
  local r, revision = existing(arg()), num()
  if r@revision ~= revision then refuse('R', r@id) end
end

guards.L = function()
  local owner, name, expected = arg(), arg(), num()
  local _, following = extent_of(owner, name)
  if following - 1 ~= expected then refuse('G', owner, name, following - 1) end
end

guards.M = function()
  local key, expected = arg(), opt()
  local mark = mark_of(key)
  local version = mark and mark[1]
  if expected and version ~= tonumber(expected) or not expected and version then
    refuse('M', key, version or '')
  end
end

local ops = {}

-- An input that is wrong whatever the store holds: the caller knows what it is.
ops['!'] = function() refuse('!') end
