-- Puts a notice up, and takes down those that have lasted. ARGV: name; text; milliseconds that it lasts.
--
-- A board is a hash: by name, until when a notice lasts, and its text.
local key, name, lasts = KEYS[1], ARGV[1], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if lasts > 0 then
  redis.call('HSET', key, name, string.format('%d %s', now + lasts, ARGV[2]))
else
  redis.call('HDEL', key, name)
end
local last = 0
local all = redis.call('HGETALL', key)
for at = 1, #all, 2 do
  local left = string.match(all[at + 1], '^%d+') - now
  if left <= 0 then redis.call('HDEL', key, all[at]) end
  last = math.max(last, left)
end
if last > 0 then redis.call('PEXPIRE', key, string.format('%d', math.min(last, 1000000000000))) end
return {}
