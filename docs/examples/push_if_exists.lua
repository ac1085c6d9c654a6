-- Pushes to a list only while some other key exists.
-- KEYS[1]  the key that must exist
-- KEYS[2]  the list
-- ARGV[1]  the element
-- Returns  1 if it was pushed, else 0
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
redis.call('LPUSH', KEYS[2], ARGV[1])
return 1
