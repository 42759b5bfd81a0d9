-- The two commits that nearly all are: a plain task is made, and a run that its lease still holds succeeds. They are the
-- same as the general ones, without taking values apart; what is not plain is left to those.
local quick_tables, quick_create, quick_settle, count_quick

do

local QUICK_RUNS = { ['1000000A'] = true, ['1000010A'] = true, ['1010000A'] = true, ['1010010A'] = true }
local BLANK_TIMES = BLANK .. BLANK .. BLANK

-- What tasks of one queue, name and version have in common.
local places = {}

local function place_of(names)
  local place = places[names]
  if not place then
    local queue, name, version = string.match(names, '^(%Z*)%z(%Z*)%z(%Z*)%z$')
    place = {
      queue = queue, lane = name .. '\0' .. version, counted = queue .. '\0' .. name,
      ready = of_key(sorted, lane_key(queue, name .. '\0' .. version)),
      delayed = of_key(sorted, P .. 'd:' .. queue), named = of_key(sorted, P .. 'w:n:' .. name),
    }
    places[names] = place
  end
  return place
end

-- Flushing makes new tables.
local open_list, done_list, done_at, leases = nil, nil, nil, nil

quick_tables = function()
  places = {}
  open_list, done_list = of_key(sorted, P .. 's:0'), of_key(sorted, P .. 's:2')
  done_at, leases = of_key(sorted, P .. 'f'), of_key(sorted, P .. 'l')
end

-- `how` is "N" (or "n" to refuse an id that is there), the priority as orders have it, and when it is due.
quick_create = function(id, how, names, rest)
  if raw_of(id) then
    local there = load(id)
    if sub(how, 1, 1) == 'n' then return { 'X', id } end
    return { 'ok', { 'E', id, there@status } }
  end
  local place = place_of(names)
  if has_rules() then
    local rule = rule_of('queue/' .. place.queue)
    local most = rule and rule.max_depth
    if most then count_quick() end
    if most and count_of(P .. 'W', place.queue) >= most then return { 'Q', place.queue, most } end
  end
  local seq = next_number()
  local run_at, number = resolve(sub(how, 5)), fmt('%016.0f', seq)
  local order = sub(how, 2, 4) .. run_at .. number
  raws[id] = '0000000A' .. order .. NOWC .. BLANK_TIMES .. rest
  unsaved[id] = true
  if run_at > NOWC then place.delayed[run_at .. number .. id] = 0 else place.ready[order .. id] = 0 end
  open_list[id], place.named[id] = seq, seq
  place.made = (place.made or 0) + 1
  return seq
end

-- `how` is "F", fence and token as values have them, and the part with the result.
quick_settle = function(id, how)
  local raw = raw_of(id)
  if not raw or not QUICK_RUNS[sub(raw, 1, 8)] or sub(raw, 136, 143) ~= sub(how, 2, 9)
    or sub(raw, 176, 207) ~= sub(how, 10, 41) then
    return nil
  end
  local revision, fence, attempt, times_leased, lost, forgiven, runs, names, worker, special =
    struct.unpack(NUMBERS, raw, 128)
  if runs ~= 0 or worker == 0 then return nil end
  local behind, started = 208 + names, sub(raw, 68, 87)
  local run = fmt('%.0f', attempt) .. '\n' .. started .. '\n' .. NOWC .. '\nsucceeded\n' .. sub(raw, behind, behind + worker - 1) .. '\n'
  local result, length, number = sub(how, 42), #run, sub(raw, 32, 47)
  local own = sub(raw, 208, behind - 1)
  raws[id] = '2' .. sub(raw, 2, 4) .. (result ~= '' and '1' or '0') .. sub(raw, 6, 87) .. NOWC .. BLANK
    .. struct.pack(NUMBERS, revision + 1, fence, attempt, times_leased, lost, forgiven, 1, names, 0, special)
    .. sub(raw, 176, 207) .. own .. sub(raw, behind + worker)
    .. result .. fmt('h%08d%08d', length + 8, length) .. run
  unsaved[id], seen.records[id] = true, nil
  open_list[id], done_list[id], leases[id] = false, tonumber(number), false
  done_at[number .. id] = NOW
  local place = place_of(sub(own, #id + 2))
  place.done = (place.done or 0) + 1
  hints[#hints + 1] = 'F' .. id
  return SUCCEEDED
end

-- What these change of counts, lanes and hints, once for all.
count_quick = function()
  for _, place in pairs(places) do
    local made, done = place.made, place.done
    if made then
      add_count(P .. 'c', PENDING .. place.counted, made)
      add_count(P .. 'W', place.queue, made)
      touch(place.queue, place.lane)
      hint('R' .. place.queue)
      place.made = nil
    end
    if done then
      add_count(P .. 'c', RUNNING .. place.counted, -done)
      add_count(P .. 'c', SUCCEEDED .. place.counted, done)
      add_count(P .. 'F', 'ended', done)
      place.done = nil
    end
  end
end

end
