-- Reads a counter: what `exchange.lua` and `look.lua` begin with.
--
-- A counter is a hash. s1 to s4: what is spent; b, e: when the window began and when it ends, in milliseconds; v: the version;
-- n:NODE: when the node's lease lapses, the node's last sequence number (20 digits), and the lease's four figures.
-- Figures and sequence numbers stay strings wherever they are kept: Lua's numbers have 53 bits.
local key, node = KEYS[1], 'n:' .. ARGV[1]
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)

local nobody = string.rep('0', 20)
local no_lease = '0 0 0 0'
local week = 604800000

local fields = redis.call('HGETALL', key)
local begin, ends, version = nil, nil, 0
local spent = {'0', '0', '0', '0'}
local own = {lapses = 0, sequence = nobody, lease = no_lease}
local others, forgotten = {}, {}
for at = 1, #fields, 2 do
  local name, value = fields[at], fields[at + 1]
  local kind = string.sub(name, 1, 1)
  if kind == 'n' then
    local lapses, sequence, lease = string.match(value, '^(%d+) (%d+) (.+)$')
    lapses = tonumber(lapses)
    if name == node then
      own = {lapses = lapses, sequence = sequence, lease = lapses > now and lease or no_lease}
    elseif lapses > now then
      others[#others + 1] = lease
    elseif sequence == nobody or now - lapses > week then
      forgotten[#forgotten + 1] = name
    end
  elseif kind == 's' then
    spent[tonumber(string.sub(name, 2))] = value
  elseif kind == 'b' then
    begin = tonumber(value)
  elseif kind == 'e' then
    ends = tonumber(value)
  elseif kind == 'v' then
    version = tonumber(value)
  end
end

-- What a node sees; `left`: milliseconds until the window ends.
local function state(left)
  if left <= 0 then left = -1 end
  return {version, left, spent[1], spent[2], spent[3], spent[4], own.lease, unpack(others)}
end
