-- The end of a run, and leases. What an end means was decided before; this only writes it.
local settle, expire

do

local ATTEMPTS_KEPT = 20
local ERROR_LIMIT, CUT = 16384, '… (cut)'

-- The history: framed by its length in eight digits each; the first run and the last twenty.
local function history_with(r, outcome, failed)
  local body = table.concat({
    fmt('%.0f', r@attempt), r@started_at ~= '' and r@started_at or NOWC, NOWC, outcome, r@worker,
    failed and '=' .. failed or '',
  }, '\n')
  local frame = fmt('%08d', #body) .. body
  if r@runs == 0 then return frame end
  local history = part_of(r, 'h') or ''
  if r@runs > ATTEMPTS_KEPT then
    local first_end = 8 + tonumber(sub(history, 1, 8))
    local second_end = first_end + 8 + tonumber(sub(history, first_end + 1, first_end + 8))
    history = sub(history, 1, first_end) .. sub(history, second_end + 1)
  end
  return history .. frame
end

-- The status that a settlement leads to, or nil when it cannot be.
local function settled_status(r, wanted)
  local from = r@status
  if wanted == PENDING and r@cancel_requested == 1 then wanted = CANCELLED end
  if wanted == RUNNING then wanted = PENDING end
  if from == RUNNING then return wanted end
  if from == PENDING and (wanted == FAILED or wanted == CANCELLED) then return wanted end
  return nil
end

-- Writes a settlement over a record that runs, or waits and expired; `taken` says that it has no ready row any more.
-- Answers its status, or nil when it is refused.
settle = function(r, s, taken)
  local status = settled_status(r, s.status)
  if not status then return nil end
  local n, extra = clone(r), {}
  local function put(field, value)
    extra[#extra + 1] = field
    extra[#extra + 1] = value
  end
  n@status = status
  n@parked = ''
  if s.outcome and r@worker ~= '' then
    put('h', history_with(r, s.outcome, s.failed))
    n@runs = math.min(r@runs + 1, ATTEMPTS_KEPT + 1)
  end
  -- A lost holder must not recognise its late settle as its own.
  n@token = s.lost and '' or r@lease_token
  n@worker, n@until, n@lease_token, n@holds = '', '', '', {}
  if s.give_back then n@attempt = math.max(n@attempt - 1, 0) end
  if s.lost then n@lost = n@lost + 1 end
  if status == CANCELLED and r@cancel_requested == 1 then
    -- Its error is the reason that came with the request. What the run itself said is in its history.
    if r@failed == 1 then put('g', false) end
  elseif s.failed and status ~= SUCCEEDED then
    n@failed = 1
    put('e', s.failed)
    put('g', s.group)
  end
  if s.phase then put('p', s.phase) end
  if s.state then put('s', s.state) end
  if status == PENDING then
    n@run_at = n@woken == 1 and s.outcome == 'snoozed' and NOWC or resolve(s.due)
    n@woken = 0
  else
    n@finished_at = NOWC
    if s.result or r@resulted == 1 then put('r', s.result) end
    n@resulted = s.result and 1 or 0
    if status == SUCCEEDED and r@failed == 1 then
      n@failed = 0
      put('e', false)
      put('g', false)
    end
  end
  replace(r, n, taken, extra)
  leave_gates(r@id, r@holds, r@queue)
  return status
end

-- A text within the limit of errors, cut at a character.
local function cut(text)
  if #text <= ERROR_LIMIT then return text end
  local last = ERROR_LIMIT - #CUT
  while floor(string.byte(text, last + 1) / 64) == 2 do last = last - 1 end
  return sub(text, 1, last) .. CUT
end

-- Ends a record that expired and has no ready row any more, as `decide` says it for other stores.
expire = function(r)
  local why = 'expired before it started'
  local before = r@failed == 1 and part_of(r, 'e')
  if before then why = cut(fmt('expired before attempt %.0f; the one before: ', r@attempt + 1) .. before) end
  settle(r, { status = CANCELLED, failed = why, group = false }, true)
end

end

-- Makes a pending record one that this worker runs.
local function give_lease(n, worker, ttl, token)
  n@status = RUNNING
  n@attempt = n@attempt + 1
  n@leases = n@leases + 1
  n@fence = next_fence(n@fence)
  n@started_at = NOWC
  n@token, n@prefer, n@prefer_until, n@woken = '', '', '', 0
  n@worker, n@until, n@lease_token = worker, code(NOW + ttl), token
end

-- Leases a record that has no ready row any more.
local function lease(r, holds, worker, ttl, token)
  local n = clone(r)
  n@holds = holds
  give_lease(n, worker, ttl, token)
  release_at_claim(r)
  replace(r, n, true, nil)
  note_holds(r@id, holds)
  return n
end
