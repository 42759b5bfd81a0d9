-- Commits: each wholly or not at all, in their order. The ids of the records that they name come first, so that all are
-- read at once; quick commits take theirs from there.
local function apply(guard_count, op_count)
  for _ = 1, guard_count do guards[arg()]() end
  local effects = { 'ok' }
  for i = 1, op_count do effects[i + 1] = ops[arg()]() end
  return effects
end

-- The short forms of quick_commit.lua.
local function make_plain(id, how, names, rest)
  local there = load(id)
  if there then
    if sub(how, 1, 1) == 'n' then refuse('X', id) end
    return { 'ok', { 'E', id, there@status } }
  end
  check_depth(string.match(names, '^%Z*'))
  local seq = next_number()
  set(raws, id, '0000000A' .. sub(how, 2, 4) .. resolve(sub(how, 5)) .. fmt('%016.0f', seq) .. NOWC .. BLANK .. BLANK
    .. BLANK .. rest)
  set(unsaved, id, true)
  enlist(load(id))
  return seq
end

-- All of them or, with the first that is refused, none.
local function make_many(ids_from, from, many)
  local effects = { 'ok' }
  for i = 0, many - 1 do
    local at = from + 3 * i
    local made = make_plain(ARGV[ids_from + i], ARGV[at], ARGV[at + 1], ARGV[at + 2])
    effects[i + 2] = type(made) == 'number' and { 'C', made } or made[2]
  end
  return effects
end

local function settle_held(id, how, held)
  local r = existing(id)
  check_held(r, struct.unpack('>I8', held), sub(held, 9))
  local result = #how > 1 and sub(how, 11)
  local status = settle(r, { status = SUCCEEDED, due = 'n', outcome = 'succeeded', result = result })
  if not status then refuse_status(r, 'settled') end
  return status
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
for i = 1, num() do
  local how = arg()
  local kind = sub(how, 1, 1)
  local done, answer
  begin()
  if kind == 'F' then
    done, answer = pcall(settle_held, ARGV[next_id], how, arg())
    next_id = next_id + 1
  elseif kind == 'N' or kind == 'n' then
    done, answer = pcall(make_plain, ARGV[next_id], how, arg(), arg())
    next_id = next_id + 1
  elseif kind == '*' then
    local many = tonumber(sub(how, 2))
    done, answer = pcall(make_many, next_id, next_arg + 1, many)
    next_id, next_arg = next_id + many, next_arg + 3 * many
  else
    local behind = next_arg + tonumber(how)
    next_id = next_id + num()
    local guard_count, op_count = num(), num()
    done, answer = pcall(apply, guard_count, op_count)
    next_arg = behind
  end
  if not done then
    roll_back()
    answer = type(answer) == 'table' and answer.refusal or { 'C', reason(answer) }
  end
  answers[i] = answer
end
finish()
return answers
