-- Rate limiter with a fixed window.
-- KEYS[1]  the counter of whoever is limited, such as user:123
-- ARGV[1]  requests allowed per window
-- ARGV[2]  length of the window in seconds
-- Returns  1 if the request is allowed, else 0
local limit = tonumber(ARGV[1])
local window_seconds = tonumber(ARGV[2])

local count = redis.call('INCR', KEYS[1])
if count == 1 then
  redis.call('EXPIRE', KEYS[1], window_seconds)
end
if count > limit then
  return 0
end
return 1
