-- Keeps the lanes that a worker of many names knows where claims find them.
local key = P .. 'N:' .. arg()
local fields = {}
for _ = 1, num() do
  fields[#fields + 1] = arg()
  fields[#fields + 1] = arg()
  if #fields >= 1000 then
    call('HSET', key, unpack(fields))
    fields = {}
  end
end
if #fields > 0 then call('HSET', key, unpack(fields)) end
call('EXPIRE', key, 86400)
return 'ok'
