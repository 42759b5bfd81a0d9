-- Sets a leased record aside that the scripts can read and the caller cannot, and gives its places up.
local id, why = arg(), arg()
begin()
local done, failed = pcall(function()
  quarantine(id, why)
  put_row(P .. 'l', id, false)
  local holds = hget(P .. 'G', id)
  leave_gates(id, holds and cmsgpack.unpack(holds) or {}, nil)
end)
if not done then roll_back() end
finish()
return done and 'ok' or reason(failed)
