-- The notices of a board: name, text and milliseconds left of each.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all, read = redis.call('HGETALL', KEYS[1]), {}
for at = 1, #all, 2 do
  local lasts, text = string.match(all[at + 1], '^(%d+) (.*)$')
  local left = lasts - now
  if left > 0 then
    read[#read + 1] = all[at]
    read[#read + 1] = text
    read[#read + 1] = left
  end
end
return read
