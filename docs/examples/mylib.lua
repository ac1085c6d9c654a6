#!lua name=mylib

-- A library of small functions. Function names are the same in any letter case, so
-- FCALL_RO COUNTKEYS calls countKeys.

local SCAN_COUNT = 1000

-- Calls visit(key) for every key that matches the pattern. SCAN may report a key twice while the
-- table is resized, so keys seen before are left out. A visit that returns true ends the walk.
local function each_key(pattern, kind, visit)
  local cursor = '0'
  local seen = {}
  repeat
    local reply
    if kind then
      reply = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT, 'TYPE', kind)
    else
      reply = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT)
    end
    cursor = reply[1]
    for _, key in ipairs(reply[2]) do
      if not seen[key] then
        seen[key] = true
        if visit(key) then
          return
        end
      end
    end
  until cursor == '0'
end

-- 512 -> "512B", 34320000 -> "32.73M"
local function human_bytes(bytes)
  local units = { 'B', 'K', 'M', 'G', 'T' }
  local unit = 1
  while bytes >= 1024 and unit < #units do
    bytes = bytes / 1024
    unit = unit + 1
  end
  if unit == 1 then
    return string.format('%dB', bytes)
  end
  return string.format('%.2f%s', bytes, units[unit])
end

-- FCALL_RO VER 0
-- The version of the server.
local function ver()
  return redis.REDIS_VERSION
end

-- FCALL_RO TOFIX 2 number places
-- The number rounded to a number of decimal places, 2 unless told.
local function toFix(KEYS)
  local number = tonumber(KEYS[1])
  local places = tonumber(KEYS[2] or 2)
  if not number or not places or places < 0 or places > 20 then
    return redis.error_reply('ERR a number and 0 to 20 places are expected')
  end
  return string.format('%.' .. places .. 'f', number)
end

-- FCALL_RO COUNTKEYS 1 pattern
-- How many keys match the pattern, all if there is none, and the memory they take.
local function countKeys(KEYS)
  local count, bytes = 0, 0
  each_key(KEYS[1] or '*', nil, function(key)
    count = count + 1
    bytes = bytes + (redis.call('MEMORY', 'USAGE', key) or 0)
  end)
  return { tostring(count), human_bytes(bytes) }
end

-- FCALL DELALL 1 pattern
-- Deletes the keys that match the pattern; how many there were.
local function delall(KEYS)
  local found = {}
  each_key(KEYS[1], nil, function(key)
    found[#found + 1] = key
  end)
  for _, key in ipairs(found) do
    redis.call('DEL', key)
  end
  return #found
end

-- FCALL ZADDINCR 1 key member ...
-- Adds one to the score of every member; how many there were.
local function zAddIncr(KEYS, ARGV)
  for _, member in ipairs(ARGV) do
    redis.call('ZINCRBY', KEYS[1], 1, member)
  end
  return #ARGV
end

-- FCALL_RO ZSUMSCORE 1 key
-- The sum of all scores.
local function zSumScore(KEYS)
  local sum = 0
  local reply = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
  for i = 2, #reply, 2 do
    sum = sum + tonumber(reply[i])
  end
  return sum
end

-- FCALL_RO SCANTEXTCHI 3 pattern field text [name ...]
-- FCALL_RO SCANTEXTCHI 5 pattern field text offset limit [name ...]
-- The hashes below the pattern whose field contains the text: the named fields of each, or all
-- fields with their names. Hashes come in the order of their keys.
local function scanTextChi(KEYS, ARGV)
  local field, text = KEYS[2], KEYS[3]
  local offset, limit = tonumber(KEYS[4] or 0), tonumber(KEYS[5] or 10)
  local found = {}
  each_key(KEYS[1], 'hash', function(key)
    local value = redis.call('HGET', key, field)
    if value and string.find(value, text, 1, true) then
      found[#found + 1] = key
    end
  end)
  table.sort(found)
  local rows = {}
  for i = offset + 1, math.min(offset + limit, #found) do
    if #ARGV > 0 then
      rows[#rows + 1] = redis.call('HMGET', found[i], unpack(ARGV))
    else
      rows[#rows + 1] = redis.call('HGETALL', found[i])
    end
  end
  return rows
end

-- FCALL_RO LIBS 0
-- The Lua libraries that scripts may use.
local function libs()
  local names = {}
  for name, value in pairs(_G) do
    if type(value) == 'table' and name ~= '_G' and name ~= 'redis' and name ~= 'server' then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

local function register(name, callback, ...)
  redis.register_function{ function_name = name, callback = callback, flags = { ... } }
end

register('ver', ver, 'no-writes')
register('toFix', toFix, 'no-writes')
register('countKeys', countKeys, 'no-writes')
register('delall', delall)
register('zAddIncr', zAddIncr)
register('zSumScore', zSumScore, 'no-writes')
register('scanTextChi', scanTextChi, 'no-writes')
register('libs', libs, 'no-writes')
