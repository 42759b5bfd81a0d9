-- The numbers of leases. A server that starts again, or a replica that takes over, may lack the last leases that were given,
-- and must not give one of their numbers again: from the second server of a namespace on they are taken from the clock.
local next_fence
do
  -- Last comes what the server calls itself from its start to its end, as it told the caller.
  local key, server, lowest = P .. 'i', ARGV[#ARGV], nil

  -- Notes which server gives them. Nothing for the first one: its numbers are 1, 2, 3.
  local function lowest_of_server()
    local stored = call('GET', key)
    local known, number
    if stored then known, number = string.match(stored, '^(%S*) (%d+)$') end
    lowest = tonumber(number or 0)
    if known ~= server and server ~= '' then
      -- Where tasks are already, others may have been leased that nobody noted.
      if known or call('EXISTS', P .. 'z') == 1 then lowest = math.max(NOW, lowest) end
      call('SET', key, fmt('%s %.0f', server, lowest))
    end
    return lowest
  end

  -- The fence of the next lease of a record with this one.
  next_fence = function(fence)
    local least = lowest or lowest_of_server()
    if least > 0 then least = math.max(least, NOW) end
    return math.max(fence, least) + 1
  end
end
