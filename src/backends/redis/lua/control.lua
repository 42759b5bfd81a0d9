-- Operations on records that are there, on streams and on marks.
ops.S = function()
  local id = arg()
  local s = { status = num(), due = arg(), give_back = arg() == '1', lost = arg() == '1', outcome = opt() }
  s.failed, s.group, s.phase, s.state, s.result = opt(), opt(), opt(), opt(), opt()
  local r = existing(id)
  local status = settle(r, s)
  if not status then refuse_status(r, 'settled') end
  return { 'S', status }
end

ops.X = function()
  local id, ttl = arg(), num()
  local r = existing(id)
  if r@worker == '' then refuse('L', id) end
  local n = clone(r)
  n@until = code(NOW + ttl)
  replace(r, n, false, nil)
  return { 'X', n@until, r@cancel_requested, r@woken }
end

ops.P = function()
  local id, due, queue, priority, args = arg(), opt(), opt(), opt(), opt()
  local progress, state, phase, prefer = opt(), opt(), arg(), arg()
  local prefer_until = arg()
  local r = existing(id)
  if (due or queue or priority or args) and r@status ~= PENDING then refuse_status(r, 'rescheduled or moved') end
  local n, extra = clone(r), {}
  local function put(field, value)
    extra[#extra + 1] = field
    extra[#extra + 1] = value
  end
  if due then n@run_at = resolve(due) end
  if queue then
    if queue ~= r@queue then check_depth(queue) end
    n@queue = queue
  end
  if priority then n@priority = tonumber(priority) end
  if args then put('a', args) end
  if progress then put('o', progress) end
  if state then put('s', state) end
  -- "" keeps it, "-" takes it away, "=…" sets it.
  if phase == '-' then put('p', false) elseif phase ~= '' then put('p', sub(phase, 2)) end
  if prefer == '-' then
    n@prefer, n@prefer_until = '', ''
  elseif prefer ~= '' then
    n@prefer, n@prefer_until = sub(prefer, 2), prefer_until
  end
  replace(r, n, false, extra)
  return { 'S', r@status }
end

ops.c = function()
  local id, why = arg(), arg()
  local r = existing(id)
  if is_ended(r) then refuse_status(r, 'cancelled') end
  local n = clone(r)
  n@failed = 1
  -- What it is cancelled for takes the place of what failed before, with its group: that is of errors.
  local extra = { 'e', why, 'g', false }
  if r@status == RUNNING then
    n@cancel_requested = 1
    replace(r, n, false, extra)
    hint('W' .. id)
    return { 'c' }
  end
  n@status, n@parked, n@finished_at = CANCELLED, '', NOWC
  replace(r, n, false, extra)
  return { 'S', CANCELLED }
end

ops.V = function()
  local id, due = arg(), arg()
  local r = existing(id)
  if r@status ~= FAILED and r@status ~= CANCELLED then refuse_status(r, 'revived') end
  check_depth(r@queue)
  local n = clone(r)
  if r@unique ~= '' then
    local owner = owner_of(r@unique)
    if owner and owner ~= id then refuse('K', r@unique, owner) end
    take_key(n)
  end
  n@status, n@run_at = PENDING, resolve(due)
  n@finished_at, n@expires_at = '', ''
  n@cancel_requested, n@lost, n@forgiven = 0, 0, n@attempt
  replace(r, n, false, nil)
  return { 'S', PENDING }
end

ops.W = function()
  local id = arg()
  local r = existing(id)
  if is_ended(r) then refuse_status(r, 'woken') end
  local n = clone(r)
  if r@status == RUNNING then
    n@woken = 1
    hint('W' .. id)
  elseif n@run_at > NOWC then
    n@run_at = NOWC
  end
  replace(r, n, false, nil)
  if r@parked ~= '' then reopen(r@parked) end
  return { 'S', r@status }
end

ops.D = function()
  local r = existing(arg())
  if r@status == RUNNING then refuse_status(r, 'deleted') end
  remove(r)
  return { 'D' }
end

ops.a = function()
  local owner, name, events = arg(), arg(), {}
  for i = 1, num() do events[i] = { opt(), arg() } end
  return { 'A', unpack(append(owner, name, events)) }
end

ops.t = function()
  trim(arg(), arg(), num())
  return { 'D' }
end

-- A mark, and what follows from it when it holds the rule of a gate.
local function read_mark()
  local key, value, ttl, gate = arg(), arg(), opt(), opt()
  local rule
  if gate then
    local text = function() return opt() end
    local number = function() return tonumber(opt() or nil) or false end
    rule = { max = number(), n = number(), per = arg(), interval = num(), capacity = num(), paused = arg() == '1' }
    rule.why, rule.by, rule.max_depth = text(), text(), number()
  end
  return key, value, ttl, gate, rule
end

ops.m = function()
  local key, value, ttl, gate, rule = read_mark()
  local till = ttl and code(NOW + tonumber(ttl)) or ''
  return { 'M', write_mark(key, value, NOWC, till, gate, rule) }
end

ops.d = function()
  drop_mark(arg())
  return { 'D' }
end
