-- Making records.
local function read_pairs()
  local list = {}
  for i = 1, num() do
    list[2 * i - 1] = arg()
    list[2 * i] = num()
  end
  return list
end

-- What to do when another task owns the key.
local function key_conflict(c, owner)
  if c.on_conflict == 'F' then refuse('K', c.unique, owner) end
  local other = load(owner)
  local status = other and other@status or SUCCEEDED
  if c.on_conflict ~= 'E' and status == PENDING then
    local n = clone(other)
    n@priority = c.priority
    n@run_at = c.on_conflict == 'D' and code(NOW + c.debounce) or c.run_at
    n@expires_at = c.expires_at
    -- The gates were rendered from the args: they go with them, and whoever waited behind an old one looks anew.
    n@gates = c.gates
    n@parked = ''
    replace(other, n, false, { 'a', c.args })
    -- Whoever waits behind this one at a gate that it leaves.
    for i = 1, #other@gates, 2 do
      local key = other@gates[i]
      if own_limit(n, key) ~= other@gates[i + 1] then reopen(key) end
    end
  end
  return { 'E', owner, status }
end

-- Leases a record that was just made, when all its gates are open.
local function lease_at_once(r, to)
  local entering, holds = {}, {}
  local function passes(key, limit)
    local rule = live_rule(key)
    if not limit and not rule then return true end
    if check_gate(key, limit, rule) then return false end
    note_place(holds, entering, key, rule)
    return true
  end
  -- Who makes a task names it as it is: aliases are what a claim knows.
  for _, key in ipairs(implied_gates(r, nil)) do
    if not passes(key, nil) then return nil end
  end
  local gates = r@gates
  for i = 1, #gates, 2 do
    if not passes(gates[i], gates[i + 1]) then return nil end
  end
  leave_lane(r)
  for i = 1, #holds do enter_gate(holds[i], r@id, entering[i]) end
  lease(r, holds, to.worker, to.ttl, to.token)
  return whole(r@id)
end

ops.C = function()
  local c = { id = arg(), on_conflict = arg(), debounce = num(), name = arg(), version = arg(), queue = arg() }
  c.priority, c.run_at = num(), resolve(arg())
  local expires = opt()
  c.expires_at = expires and resolve(expires) or ''
  c.gates, c.words, c.parent = read_pairs(), read_list(), arg()
  c.unique, c.scope, c.unique_for = arg(), num(), arg()
  c.fixed, c.args, c.state, c.phase = arg(), arg(), opt(), opt()
  local to = { worker = arg(), ttl = num(), token = arg() }
  local there = load(c.id)
  if there then
    if c.on_conflict == 'F' then refuse('X', c.id) end
    return { 'E', c.id, there@status }
  end
  local owner = c.unique ~= '' and owner_of(c.unique)
  if owner then return key_conflict(c, owner) end
  check_depth(c.queue)
  local r = {}
  r@id, r@status, r@name, r@version, r@queue = c.id, PENDING, c.name, c.version, c.queue
  r@priority, r@run_at, r@seq, r@revision = c.priority, c.run_at, next_number(), 1
  r@attempt, r@fence, r@leases, r@lost, r@forgiven = 0, 0, 0, 0, 0
  r@cancel_requested, r@woken = 0, 0
  r@expires_at, r@created_at, r@started_at, r@finished_at = c.expires_at, NOWC, '', ''
  r@worker, r@until, r@lease_token, r@token = '', '', '', ''
  r@gates, r@holds, r@parked, r@parked_since, r@opens_at = c.gates, {}, '', '', ''
  r@unique, r@scope, r@unique_for, r@unique_until = c.unique, c.scope, c.unique_for, ''
  r@prefer, r@prefer_until, r@words, r@parent = '', '', c.words, c.parent
  r@failed, r@resulted, r@runs = 0, 0, 0
  r@tail, r@big = '', 0
  local parts = { 'i', c.fixed, 'a', c.args, 's', c.state, 'p', c.phase }
  local is_due = to.worker ~= '' and r@run_at <= NOWC and (r@expires_at == '' or r@expires_at > NOWC)
  take_key(r)
  if is_due and #r@gates == 0 and not has_rules() then
    -- No gate can hold it up: it never waits, so nobody needs to find it waiting.
    release_at_claim(r)
    give_lease(r, to.worker, to.ttl, to.token)
    -- Two writes in one: its revision is the same on every store.
    r@revision = 2
    insert(r, parts)
    return { 'C', r@seq, whole(c.id) }
  end
  insert(r, parts)
  local leased = is_due and lease_at_once(r, to)
  if leased then return { 'C', r@seq, leased } end
  return { 'C', r@seq }
end
