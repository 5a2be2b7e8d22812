-- Takes from the buckets of a key together, or from none. ARGV: tokens per minute and tokens to take, for each.
--
-- A bucket is what is missing in it, and since when: with a token counted as 60,000,000 parts, each microsecond brings as many
-- parts as there are tokens per minute. A key that is not there has full buckets.
local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local token = 60000000

local names = {}
for at = 1, #ARGV / 2 do names[at] = tostring(at) end
local kept = redis.call('HMGET', key, unpack(names))
local set, until_full, longest, refused = {}, 0, -1, nil
for at = 1, #names do
  local rate, cost = math.max(tonumber(ARGV[2 * at - 1]), 1), ARGV[2 * at] * token
  local missing = 0
  if kept[at] then
    local before, since = string.match(kept[at], '^(%S+) (%S+)$')
    missing = math.max(before - math.max(now - since, 0) * rate, 0)
  end
  local may_miss = math.max(rate * token - cost, 0)
  if cost > 0 and missing > may_miss then
    local wait = (missing - may_miss) / rate
    if wait > longest then longest, refused = wait, at end
  end
  missing = math.max(missing + cost, 0)
  until_full = math.max(until_full, missing / rate)
  set[2 * at - 1] = names[at]
  set[2 * at] = string.format('%.17g %d', missing, now)
end
if refused then return {refused - 1, string.format('%.0f', math.ceil(longest / 1000))} end

redis.call('HSET', key, unpack(set))
redis.call('PEXPIRE', key, string.format('%d', math.min(math.ceil(until_full / 1000) + 1000, 1000000000000)))
return {}
