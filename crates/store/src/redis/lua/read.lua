-- Reads a counter: what `exchange.lua` and `look.lua` begin with.
--
-- A counter is a hash. c: when the window began (0: it has no beginning) and when it ends, in milliseconds; when the one before
-- ended (0: there was none); the version; the four figures that are spent. n:NODE: when the node's lease lapses, the node's last sequence number (20 digits), and the lease's four
-- figures. What is kept stays text: Lua's numbers have 53 bits.
local call, match, format = redis.call, string.match, string.format
local key, node = KEYS[1], 'n:' .. ARGV[1]
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local nobody, nothing, week = '00000000000000000000', '0 0 0 0', 604800000
local begin, ends, previous, version, spent = '0', '0', '0', '0', nothing
local lapses, sequence, lease = 0, nobody, nothing
local others, forgotten = {}, {}
local fields = call('HGETALL', key)
for at = 1, #fields, 2 do
  local name, value = fields[at], fields[at + 1]
  if name == 'c' then
    begin, ends, previous, version, spent = match(value, '^(%d+) (%d+) (%d+) (%d+) (.+)$')
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
  return {version, left, spent, lease, unpack(others)}
end
