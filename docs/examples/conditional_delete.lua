-- Deletes a key only if it holds the expected value: the safe way to give back a lock.
-- KEYS[1]  the key
-- ARGV[1]  the value it must hold
-- Returns  1 if it was deleted, else 0
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
return 1
