-- Marks: keys in order in m, and version, time, end and value in M; rules of gates in R as well, packed for claims.
local mark_of, write_mark, drop_mark

do

local function stored_mark(key)
  local text = hget(P .. 'M', key)
  return text and cmsgpack.unpack(text)
end

-- A mark that is there and whose time is not over.
mark_of = function(key)
  local mark = stored_mark(key)
  if mark and (mark[3] == '' or mark[3] > NOWC) then return mark end
  return nil
end

local function forget_end(key)
  local mark = stored_mark(key)
  if mark and mark[3] ~= '' then zrem(P .. 'n', mark[3] .. key) end
end

-- A changed rule may open its gate.
local function rule_changed(gate)
  seen.rules[gate], seen.has_rules = nil, nil
  local rule = rule_of(gate)
  if rule and rule.n then trim_bucket(gate, rule) end
  reopen(gate)
  hint('U')
end

write_mark = function(key, value, set_at, till, gate, rule)
  forget_end(key)
  local version = next_number()
  if till ~= '' then
    zadd(P .. 'n', till .. key)
    -- A rule that ends may open its gate at that moment.
    if gate then set_timer(gate, till) end
  end
  zadd(P .. 'm', key)
  hset(P .. 'M', key, cmsgpack.pack({ version, set_at, till, value }))
  if gate then
    rule.ends = till
    hset(P .. 'R', gate, cmsgpack.pack(rule))
    rule_changed(gate)
  end
  return version
end

drop_mark = function(key)
  forget_end(key)
  zrem(P .. 'm', key)
  hdel(P .. 'M', key)
  if sub(key, 1, 5) == 'gate/' then
    local gate = sub(key, 6)
    hdel(P .. 'R', gate)
    rule_changed(gate)
  end
end

end
