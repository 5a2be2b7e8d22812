-- Reads a counter: what `exchange.lua` and `look.lua` begin with.
--
-- A counter is a hash. c: when the window began (0: it has no beginning) and when it ends, in milliseconds; the version; the four
-- figures that are spent. n:NODE: when the node's lease lapses, the node's last sequence number (20 digits), and the lease's four
-- figures. Figures and sequence numbers stay strings wherever they are kept: Lua's numbers have 53 bits.
local call, match, format, abs = redis.call, string.match, string.format, math.abs
local key, node = KEYS[1], 'n:' .. ARGV[1]
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local nobody, no_lease, week = '00000000000000000000', '0 0 0 0', 604800000
local begin, ends, version, one, two, three, four = '0', '0', '0', '0', '0', '0', '0'
local lapses, sequence, lease = 0, nobody, no_lease
local others, forgotten = {}, {}
local fields = call('HGETALL', key)
for at = 1, #fields, 2 do
  local name, value = fields[at], fields[at + 1]
  if name == 'c' then
    begin, ends, version, one, two, three, four = match(value, '^(%d+) (%d+) (%d+) (%S+) (%S+) (%S+) (%S+)$')
  else
    local held_until, last, held = match(value, '^(%d+) (%d+) (.+)$')
    held_until = tonumber(held_until)
    if name == node then
      lapses, sequence = held_until, last
      if held_until > now then lease = held end
    elseif held_until > now then
      others[#others + 1] = held
    elseif last == nobody or now - held_until > week then
      forgotten[#forgotten + 1] = name
    end
  end
end

-- What a node sees; `left`: milliseconds until the window ends.
local function state(left)
  if left <= 0 then left = -1 end
  return {version, left, one, two, three, four, lease, unpack(others)}
end
