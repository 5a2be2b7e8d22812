-- One step of a node. ARGV: node; length of the window, or ''; moment of its end, or ''; length of a lease;
-- sequence number, or ''; age of the charge; its four figures;
-- and where a lease is asked for: rule (a, w, u); four figures each of keep, want, want + spare, limit ('': none).
local length, moment = tonumber(ARGV[2]), tonumber(ARGV[3])
local sequence = ARGV[5]
local charged = sequence ~= '' and now - tonumber(ARGV[6])
local set = {}

local function write(name, value)
  set[#set + 1] = name
  set[#set + 1] = value
end

local function whole(number)
  return string.format('%.0f', number)
end

-- 1. The window.
if length then
  local over = begin and begin + length
  if not begin or now >= over then
    -- A charge that belongs to no window before begins the new one at its own time.
    begin = now
    if charged and charged + length > now and (not over or charged >= over) then begin = charged end
    spent = {'0', '0', '0', '0'}
    if over then redis.call('HDEL', key, 's1', 's2', 's3', 's4') end
    write('b', whole(begin))
  end
  moment = begin + length
end
if ends ~= moment then write('e', whole(moment)) end

-- 2. What was spent.
local function minus(one, other)
  local left = whole(one - other)
  if math.abs(one) >= 2^53 or math.abs(other) >= 2^53 then
    -- Redis reckons with 64 bits.
    redis.call('HSET', key, 't', one)
    redis.pcall('HINCRBY', key, 't', string.sub(other, 1, 1) == '-' and string.sub(other, 2) or '-' .. other)
    left = redis.call('HGET', key, 't')
  end
  return string.sub(left, 1, 1) == '-' and '0' or left
end

local renewed = false
if charged and sequence > own.sequence then
  own.sequence = sequence
  -- Without a lease, too, the sequence number is remembered from now on.
  own.lapses = math.max(own.lapses, now)
  renewed = true
  if not length or charged >= begin then
    for place = 1, 4 do
      local figure = ARGV[6 + place]
      if figure ~= '0' then
        local name = 's' .. place
        local sum = redis.pcall('HINCRBY', key, name, figure)
        if type(sum) == 'table' then
          -- It would overflow.
          redis.call('HSET', key, name, figure < '0' and '-9223372036854775808' or '9223372036854775807')
        end
        spent[place] = redis.call('HGET', key, name)
      end
    end
  end
  if own.lease ~= no_lease then
    local left = {}
    for figure in string.gmatch(own.lease, '%S+') do
      left[#left + 1] = minus(figure, ARGV[7 + #left])
    end
    own.lease = table.concat(left, ' ')
    redis.call('HDEL', key, 't')
  end
end

-- 3. The lease.
local rule = ARGV[11]
if rule then
  local taken = {tonumber(spent[1]), tonumber(spent[2]), tonumber(spent[3]), tonumber(spent[4])}
  for _, lease in ipairs(others) do
    local place = 1
    for figure in string.gmatch(lease, '%S+') do
      taken[place] = taken[place] + figure
      place = place + 1
    end
  end
  -- keep: 12 to 15, want: 16 to 19, with spare: 20 to 23, limits: 24 to 27.
  local function fits(from)
    for place = 0, 3 do
      local limit = ARGV[24 + place]
      if limit ~= '' and taken[place + 1] + ARGV[from + place] > tonumber(limit) then return false end
    end
    return true
  end
  local from = 12
  if rule == 'a' or fits(20) then
    from = 20
  elseif fits(rule == 'u' and 12 or 16) then
    from = 16
  end
  own.lease = table.concat(ARGV, ' ', from, from + 3)
  own.lapses = now + tonumber(ARGV[4])
  renewed = true
end

if renewed then
  write(node, whole(own.lapses) .. ' ' .. own.sequence .. ' ' .. own.lease)
end
-- A counter that was forgotten and comes again has a later version than it had before.
version = math.max(version + 1, micros)
write('v', whole(version))
redis.call('HSET', key, unpack(set))
if #forgotten > 0 then redis.call('HDEL', key, unpack(forgotten)) end
-- A rolling window comes again under this key, and with it a charge that is sent twice.
local kept = length and moment - now + week or math.max(moment - now, 0) + 3600000
redis.call('PEXPIRE', key, whole(math.min(kept + tonumber(ARGV[4]), 1000 * week)))
return state(moment - now)
