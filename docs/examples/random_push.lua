-- Pushes random numbers. With a seed the same call pushes the same numbers, on every machine.
-- Without one the numbers go on where the server's generator stands.
-- KEYS[1]  the list
-- ARGV[1]  how many numbers
-- ARGV[2]  the seed, if one is wanted
-- Returns  the length of the list
if ARGV[2] then
  math.randomseed(tonumber(ARGV[2]))
end
local length
for _ = 1, tonumber(ARGV[1]) do
  length = redis.call('LPUSH', KEYS[1], math.random())
end
return length
