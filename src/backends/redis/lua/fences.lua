-- The numbers of leases. A server that starts again, or a replica that takes over, may lack the last leases that were given,
-- and must not give one of their numbers again: under another server process they go on from the time of its first use.
local next_fence
do
  -- Last comes what the server calls itself from its start to its end, as it told the caller.
  local key, server, lowest = P .. 'i', ARGV[#ARGV], nil
  -- More leases of one task than can be lost, should the clock have been set back.
  local AHEAD = 1048576

  -- Notes which server process gives them.
  local function lowest_of_server()
    local stored = call('GET', key)
    local known, number
    if stored then known, number = string.match(stored, '^(%S*) (%d+)$') end
    lowest = tonumber(number or 0)
    if known ~= server and server ~= '' then
      if known then lowest = math.max(NOW, lowest + AHEAD) end
      call('SET', key, fmt('%s %.0f', server, lowest))
    end
    return lowest
  end

  -- The fence of the next lease of a record with this one.
  next_fence = function(fence)
    return math.max(fence, lowest or lowest_of_server()) + 1
  end
end
