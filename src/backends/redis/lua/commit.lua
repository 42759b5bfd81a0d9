-- Commits: each wholly or not at all, in their order.
local function apply(guard_count, op_count)
  for _ = 1, guard_count do guards[arg()]() end
  local effects = { 'ok' }
  for i = 1, op_count do effects[i + 1] = ops[arg()]() end
  return effects
end

local answers = {}
for i = 1, num() do
  local length = num()
  local behind = next_arg + length
  local guard_count, op_count = num(), num()
  begin(op_count > 1)
  local done, answer = pcall(apply, guard_count, op_count)
  if not done then
    roll_back()
    answer = type(answer) == 'table' and answer.refusal or { 'C', reason(answer) }
  end
  answers[i] = answer
  next_arg = behind
end
finish()
return answers
