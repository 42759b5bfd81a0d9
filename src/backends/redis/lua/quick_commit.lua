-- The commits that nearly all are, many at once: plain tasks are made, and a run that its lease still holds succeeds.
-- They are what commit.lua makes of them, without taking values apart. At the first that is not plain this ends; the
-- caller sends it and those behind it there.
local byte, find = string.byte, string.find
local BLANK = '--------------------'
local NUMBERS = '>I8I4I8I4I4I4I2I2I4'
local RECORDS = P .. 't'
local RUNS = { ['1000000A'] = true, ['1000010A'] = true, ['1010000A'] = true, ['1010010A'] = true }

local count = num()
local first = next_arg
local raws = {}
for from = 1, count, MANY do
  local to = math.min(from + MANY - 1, count)
  local found = call('HMGET', RECORDS, unpack(ARGV, first + from, first + to))
  for i = from, to do raws[ARGV[first + i]] = found[i - from + 1] end
end
next_arg = first + count + 1
local at = next_arg + 1

local answers, hints = {}, {}
-- What is written at the end: values of records, and rows of lists.
local values, opened, ended, ended_at, gone = {}, {}, {}, {}, {}
local written, made, done = 0, 0, 0
local number = nil
local ruled = nil
-- What tasks of one queue, name and version have in common, and the forms that commits have in common.
local places, forms, texts = {}, {}, {}

local function place_of(names)
  local queue, name, version = string.match(names, '^(%Z*)%z(%Z*)%z(%Z*)%z$')
  local place = {
    queue = queue, lane = name .. '\0' .. version, counted = queue .. '\0' .. name, name = name,
    ready = {}, named = {}, delayed = {}, made = 0, ended = 0, at = 0, later = 0,
  }
  places[names] = place
  return place
end

local function next_number()
  number = tonumber(call('GET', P .. 'z') or 0)
  ruled = call('EXISTS', P .. 'R') == 1
  local is_new = number == 0 and call('EXISTS', P .. 's:0', P .. 's:1', P .. 's:2', P .. 's:3', P .. 's:4') == 0
  -- A counter that is lost is for commit.lua, and so is the depth of a queue.
  return (number > 0 or is_new) and not ruled
end

-- Of a commit that makes many: whether one of them is there, also by a commit before it in this call.
local function is_one_there(row, many)
  for i = row, row + many - 1 do
    if raws[ARGV[first + i]] then return true end
  end
  return false
end

local CREATED = NOWC .. BLANK .. BLANK .. BLANK
local ENDED = NOWC .. BLANK

-- Commits that are answered, and tasks that the one at hand still makes; the first of them has this number.
local answered, many, lowest = 0, 0, nil
for row = 1, count do
  local id, how = ARGV[first + row], ARGV[at]
  if many == 0 and byte(how) == 42 then
    many = tonumber(sub(how, 2))
    -- Behind this nothing refuses one of them.
    if is_one_there(row, many) or not number and not next_number() or ruled then break end
    lowest = number + 1
    at = at + 1
    how = ARGV[at]
  end
  local raw, form = raws[id], forms[how]
  if not form then
    form = byte(how) == 70 and { result = sub(how, 2), flag = #how > 1 and '1' or '0' }
      or { order = sub(how, 2, 4) .. resolve(sub(how, 5)), run_at = resolve(sub(how, 5)) }
    forms[how] = form
  end
  if form.order then
    if raw or not number and not next_number() or ruled then break end
    local names = ARGV[at + 1]
    local place = places[names] or place_of(names)
    number = number + 1
    local text = fmt('%016.0f', number)
    local order = form.order .. text
    raw = '0000000A' .. order .. CREATED .. ARGV[at + 2]
    raws[id] = raw
    values[written + 1], values[written + 2] = id, raw
    written = written + 2
    opened[made + 1], opened[made + 2] = text, id
    made = made + 2
    local own = place.made
    place.named[own + 1], place.named[own + 2] = text, id
    place.made = own + 2
    if form.run_at > NOWC then
      local later = place.later
      place.delayed[later + 1], place.delayed[later + 2] = '0', form.run_at .. text .. id
      place.later = later + 2
    else
      local row = place.at
      place.ready[row + 1], place.ready[row + 2] = '0', order .. id
      place.at = row + 2
    end
    at = at + 3
    if many > 1 then
      many = many - 1
    else
      answered = answered + 1
      answers[answered] = many == 1 and lowest or number
      many = 0
    end
  else
    local held = ARGV[at + 1]
    if not raw or not RUNS[sub(raw, 1, 8)] or find(raw, held, 168, true) ~= 168 then break end
    local revision, attempt, times_leased, lost, forgiven, runs, names, worker, special =
      struct.unpack(NUMBERS, raw, 128)
    if runs ~= 0 or worker == 0 then break end
    local name = sub(raw, 209 + worker + #id, 207 + worker + names)
    local place = places[name] or place_of(name)
    local text = texts[attempt]
    if not text then
      text = fmt('%.0f', attempt) .. '\n'
      texts[attempt] = text
    end
    local length = #text + worker + 53
    local frame = forms[length]
    if not frame then
      frame = fmt('h%08d%08d', length + 8, length)
      forms[length] = frame
    end
    local seq = sub(raw, 32, 47)
    raw = '2' .. sub(raw, 2, 4) .. form.flag .. sub(raw, 6, 87) .. ENDED
      .. struct.pack(NUMBERS, revision + 1, attempt, times_leased, lost, forgiven, 1, names, 0, special)
      .. held .. sub(raw, 208 + worker) .. form.result
      .. frame .. text .. sub(raw, 68, 87) .. '\n' .. NOWC .. '\nsucceeded\n' .. sub(raw, 208, 207 + worker) .. '\n'
    raws[id] = raw
    values[written + 1], values[written + 2] = id, raw
    written = written + 2
    gone[done + 1] = id
    done = done + 1
    ended[2 * done - 1], ended[2 * done] = seq, id
    ended_at[2 * done - 1], ended_at[2 * done] = NOW_TEXT, seq .. id
    hints[done] = 'F' .. id
    place.ended = place.ended + 1
    answered = answered + 1
    answers[answered] = SUCCEEDED
    at = at + 2
  end
end

if written > 0 then write('HSET', RECORDS, values) end
if made > 0 then
  write('ZADD', P .. 's:0', opened)
  call('SET', P .. 'z', fmt('%.0f', number))
end
if done > 0 then
  write('ZREM', P .. 'l', gone)
  write('ZREM', P .. 's:0', gone)
  write('ZADD', P .. 's:2', ended)
  write('ZADD', P .. 'f', ended_at)
  add(P .. 'F', 'ended', done)
end
for _, place in pairs(places) do
  if place.made > 0 then
    write('ZADD', P .. 'w:n:' .. place.name, place.named)
    add(P .. 'c', PENDING .. place.counted, place.made / 2)
    add(P .. 'W', place.queue, place.made / 2)
    hints[#hints + 1] = 'R' .. place.queue
  end
  if place.later > 0 then write('ZADD', P .. 'd:' .. place.queue, place.delayed) end
  if place.at > 0 then
    local lane = P .. 'q:' .. place.queue .. '\0' .. place.lane
    write('ZADD', lane, place.ready)
    write_head(place.queue, place.lane)
  end
  if place.ended > 0 then
    add(P .. 'c', RUNNING .. place.counted, -place.ended)
    add(P .. 'c', SUCCEEDED .. place.counted, place.ended)
  end
end
if #hints > 0 then call('PUBLISH', P .. 'hints', table.concat(hints, '\n')) end
return answers
