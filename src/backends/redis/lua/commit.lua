-- Commits: each wholly or not at all, in their order. The ids of the records that they name come first, so that all are
-- read at once; quick commits have one each and take it from there.
local function apply(guard_count, op_count)
  for _ = 1, guard_count do guards[arg()]() end
  local effects = { 'ok' }
  for i = 1, op_count do effects[i + 1] = ops[arg()]() end
  return effects
end

local function refusal_of(failed)
  return type(failed) == 'table' and failed.refusal or { 'C', reason(failed) }
end

-- A success that is not plain, the general way.
local function settle_held(id, how)
  local r = existing(id)
  check_held(r, struct.unpack('>I8', how, 2), sub(how, 10, 41))
  local result = #how > 41 and sub(how, 51)
  local status = settle(r, { status = SUCCEEDED, due = 'n', outcome = 'succeeded', result = result })
  if not status then refuse_status(r, 'settled') end
  return { 'ok', { 'S', status } }
end

local answers = {}
local id_count = num()
local next_id, last_id = next_arg + 1, next_arg + id_count
do
  local ids = {}
  for i = next_id, last_id do ids[i - next_id + 1] = ARGV[i] end
  read_ahead(ids)
end
next_arg = last_id
quick_tables()
for i = 1, num() do
  local how = arg()
  local kind = sub(how, 1, 1)
  local done, answer = true, nil
  if kind == 'F' then
    local id = ARGV[next_id]
    next_id = next_id + 1
    answer = quick_settle(id, how)
    if not answer then
      count_quick()
      begin()
      done, answer = pcall(settle_held, id, how)
    end
  elseif kind == 'N' or kind == 'n' then
    local id = ARGV[next_id]
    next_id = next_id + 1
    begin()
    done, answer = pcall(quick_create, id, how, arg(), arg())
  else
    local behind = next_arg + tonumber(how)
    next_id = next_id + num()
    local guard_count, op_count = num(), num()
    count_quick()
    begin()
    done, answer = pcall(apply, guard_count, op_count)
    next_arg = behind
  end
  if not done then
    roll_back()
    answer = refusal_of(answer)
  end
  answers[i] = answer
end
count_quick()
finish()
return answers
