-- One step of a node. ARGV: node; r and the window's length, or u and the moment of its end; how long leases hold;
-- sequence number (20 digits) or '', age and figures of the charge;
-- and where a lease is asked for: rule (a, w, u), keep, want, want + spare, limits ('-': none). Four figures are one argument.
local kind, measure = ARGV[2], tonumber(ARGV[3])
local figures = '^(%S+) (%S+) (%S+) (%S+)$'
local charged = ARGV[5] ~= '' and now - tonumber(ARGV[6])

-- 1. The window.
local was_until = ends
if kind == 'u' then
  begin, ends = '0', ARGV[3]
else
  local over = begin + measure
  if begin == '0' or now >= over then
    if begin ~= '0' then previous = format('%d', over) end
    begin, spent = format('%d', now), nothing
  end
  -- A charge that is of no window before begins this one at its own time.
  if charged and ARGV[5] > sequence and charged < tonumber(begin) and charged >= tonumber(previous)
    and charged + measure > now then
    begin = format('%d', charged)
  end
  ends = format('%d', begin + measure)
end
local left = ends - now

-- 2. What was spent.
-- The sum of two figures of any size: Redis reckons with 64 bits, and refuses what would overflow.
local function long_sum(figure, more)
  call('HSET', key, 't', figure)
  local refused = tonumber(more) ~= 0 and type(redis.pcall('HINCRBY', key, 't', more)) == 'table'
  local sum = call('HGET', key, 't')
  call('HDEL', key, 't')
  if refused then sum = figure + more < 0 and '-9223372036854775808' or '9223372036854775807' end
  return sum
end

local function sum(all, more)
  local a, b, c, d = match(all, figures)
  local e, f, g, h = match(more, figures)
  -- Up to 15 digits Lua's numbers are exact.
  if #a < 16 and #b < 16 and #c < 16 and #d < 16 and #e < 16 and #f < 16 and #g < 16 and #h < 16 then
    return format('%d %d %d %d', a + e, b + f, c + g, d + h)
  end
  return table.concat({long_sum(a, e), long_sum(b, f), long_sum(c, g), long_sum(d, h)}, ' ')
end

local renewed, rule = false, ARGV[8]
if charged and ARGV[5] > sequence then
  sequence, renewed = ARGV[5], true
  -- Without a lease, too, the sequence number is remembered from now on.
  if lapses < now then lapses = now end
  if charged >= tonumber(begin) then spent = sum(spent, ARGV[7]) end
  -- A lease that is granted below takes the place of this one.
  if not rule and lease ~= nothing then
    local negated = string.gsub(string.gsub(' ' .. ARGV[7], ' ', ' -'), '%-%-', '')
    local left = sum(lease, string.sub(negated, 2))
    lease = string.gsub(left, '%-%d+', '0')
  end
end

-- 3. The lease.
if rule then
  local a, b, c, d = match(spent, figures)
  for at = 1, #others do
    local e, f, g, h = match(others[at], figures)
    a, b, c, d = a + e, b + f, c + g, d + h
  end
  local i, j, k, l = match(ARGV[12], figures)
  i, j, k, l = tonumber(i), tonumber(j), tonumber(k), tonumber(l)
  local function fits(more)
    local e, f, g, h = match(more, figures)
    return not (i and a + e > i or j and b + f > j or k and c + g > k or l and d + h > l)
  end
  if rule == 'a' or fits(ARGV[11]) then
    lease = ARGV[11]
  elseif fits(rule == 'u' and ARGV[9] or ARGV[10]) then
    lease = ARGV[10]
  else
    lease = ARGV[9]
  end
  lapses, renewed = now + tonumber(ARGV[4]), true
end

-- Microseconds since the epoch: a counter that was forgotten and comes again has a later version than it had before.
local latest = time[1] .. format('%06d', time[2])
if tonumber(latest) > tonumber(version) then
  version = latest
else
  version = format('%d', version + 1)
end
local counter = begin .. ' ' .. ends .. ' ' .. previous .. ' ' .. version .. ' ' .. spent
if renewed then
  call('HSET', key, 'c', counter, node, format('%d ', lapses) .. sequence .. ' ' .. lease)
else
  call('HSET', key, 'c', counter)
end
if #forgotten > 0 then call('HDEL', key, unpack(forgotten)) end
-- A rolling window comes again under this key, and with it a charge that is sent twice; another one is read no more.
if ends ~= was_until or left <= 0 then
  local rest = math.max(left, 0) + (kind == 'u' and 3600000 or week)
  call('PEXPIRE', key, format('%d', math.min(rest + tonumber(ARGV[4]), 1000 * week)))
end
return state(left)
