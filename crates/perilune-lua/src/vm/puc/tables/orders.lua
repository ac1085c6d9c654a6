-- Builds tables of many shapes from a seed and answers a digest of the orders they are walked in.
local seed = tonumber(ARGV[1])
local function random(n)
  seed = (seed * 16807) % 2147483647
  return seed % n
end

local kinds = {
  function() return random(8) + 1 end,
  function() return random(200) - 50 end,
  function() return random(1000000) * 4096 end,
  function() return random(100) / 8 end,
  function() return 'k' .. random(40) end,
  function() return string.rep(string.char(97 + random(26)), random(32)) end,
  function() return random(2) == 0 end,
  function() return 2 ^ random(60) end,
  function() return -(2 ^ random(60)) end,
  function() return ({math.huge, -math.huge, 1e300, 0, -1e-300})[random(5) + 1] end,
}

local function all(...)
  return arg
end

-- A constructor with elements and fields in a random order; some end with many values.
local function construct()
  local parts = {}
  for i = 1, random(20) do
    parts[i] = random(3) == 0 and 'f' .. random(9) .. '=' .. i or tostring(i)
  end
  if random(3) == 0 then
    parts[#parts + 1] = 'unpack({' .. string.rep('7,', random(70)) .. '})'
  end
  return loadstring('return {' .. table.concat(parts, ',') .. '}')()
end

local function start()
  local way = random(4)
  if way == 0 then return {} end
  if way == 1 then return all(unpack({1, 2, 3, 4, 5, 6, 7, 8, 9}, 1, random(9))) end
  return construct()
end

local function describe(t)
  local parts = {}
  for k, v in pairs(t) do
    parts[#parts + 1] = tostring(k) .. '=' .. tostring(v)
  end
  parts[#parts + 1] = '#' .. #t
  return table.concat(parts, ',')
end

-- Where a string goes that was removed and is set again depends on whether the collector came by
-- in between, so none is.
local function change(t, chosen, removed)
  local way, key = random(12), kinds[chosen[random(#chosen) + 1]]()
  if removed[key] then return end
  local function remove(key)
    t[key] = nil
    removed[key] = type(key) == 'string' or nil
  end
  if way < 6 then
    t[key] = random(1000)
  elseif way < 9 then
    remove(key)
  elseif way == 9 then
    table.insert(t, random(1000))
  elseif way == 10 then
    table.remove(t)
  elseif random(8) == 0 then
    for k in pairs(t) do
      if random(3) > 0 then remove(k) end
    end
  end
end

local digest = ''
for _ = 1, 200 do
  local t, chosen, removed = start(), {}, {}
  for i = 1, random(4) + 1 do
    chosen[i] = random(#kinds) + 1
  end
  for step = 1, random(random(2) == 0 and 30 or 300) do
    change(t, chosen, removed)
    if step % 16 == 0 then digest = redis.sha1hex(digest .. describe(t)) end
  end
  digest = redis.sha1hex(digest .. describe(t))
end
return digest
