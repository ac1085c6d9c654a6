-- Libraries that attack when they are loaded or called: a case whose script has a `#!` line with a
-- name is loaded, and its function `hostile` is called.

--- library-changes-the-table-of-functions
#!lua name=hostile
redis.register_function('hostile', function() return 1 end) redis.register_function = nil
--> -ERR
--- library-changes-globals
#!lua name=hostile
redis.register_function('hostile', function() return 1 end) tostring = function() return 'mine' end
--> -ERR
--- then
return type(pairs) .. string.rep('a', 2) .. tostring(1)
--> functionaa1
--- library-never-loads
#!lua name=hostile
redis.register_function('hostile', function() return 1 end) while true do end
--> -ERR
--- library-calls-itself-without-end
#!lua name=hostile
local function f() return 1 + f() end f()
--> -ERR
--- library-takes-memory
#!lua name=hostile
local t, n = {}, 0 while true do n = n + 1 t[n] = {n} end
--> -ERR
--- library-calls-a-command
#!lua name=hostile
redis.call('set', 'hostile:key', 1)
--> -ERR
--- library-registers-without-end
#!lua name=hostile
local n = 0 while true do n = n + 1 redis.register_function('hostile' .. n, function() end) end
--> -ERR
--- function-loops forever
#!lua name=hostile
redis.register_function('hostile', function() while true do end end)
--- function-swallows-its-kill forever
#!lua name=hostile
redis.register_function('hostile', function() while true do pcall(function() while true do end end) end end)
--- function-loops-in-a-coroutine forever
#!lua name=hostile
redis.register_function{function_name = 'hostile', flags = {'no-writes'}, callback = function()
  while true do pcall(coroutine.wrap(function() while true do redis.pcall('get', 'k') end end)) end
end}
--- function-calls-itself
#!lua name=hostile
redis.register_function('hostile', function() return redis.call('fcall', 'hostile', 0) end)
--> -ERR
--- function-registers-another
#!lua name=hostile
redis.register_function('hostile', function() return pcall(redis.register_function, 'other', function() end) and 'registered' or 'clean' end)
--> clean
--- function-changes-globals
#!lua name=hostile
redis.register_function('hostile', function()
  pcall(function() string.rep = nil end) pcall(rawset, string, 'rep', nil) pcall(rawset, _G, 'pairs', nil) pcall(setmetatable, _G, {})
  return type(pairs) .. string.rep('a', 2)
end)
--> functionaa
--- then
return type(pairs) .. string.rep('a', 2)
--> functionaa
--- function-leaves-globals
#!lua name=hostile
redis.register_function('hostile', function()
  pcall(function() leftover = 1 end) pcall(rawset, _G, 'leftover', 1) pcall(function() getfenv(0).leftover = 1 end)
  pcall(function() getfenv(1).leftover = 1 end) pcall(setfenv, 0, {leftover = 1}) pcall(function() redis.call = nil end)
  return 'clean'
end)
--> clean
--- then
return pcall(function() return leftover end) and leftover and 'leaked' or 'clean'
--> clean
--- function-leaves-settings
#!lua name=hostile
redis.register_function('hostile', function()
  pcall(cjson.encode_max_depth, 1) pcall(cjson.decode_max_depth, 1) redis.setresp(3) pcall(redis.set_repl, redis.REPL_NONE) return 'clean'
end)
--> clean
--- then
return cjson.encode({{{cjson.decode('[[[1]]]')}}}) .. type(redis.call('hgetall', 'hostile:none').map)
--> [[[[[[1]]]]]]nil
--- function-takes-memory
#!lua name=hostile
redis.register_function('hostile', function() local s = 'x' for i = 1, 25 do s = s .. s end return #s end)
--- library-of-long-strings forever
#!lua name=hostile
local a = 'x' for i = 1, 26 do a = a .. a end
local b = a .. 'y'
redis.register_function{function_name = 'hostile', flags = {'no-writes'}, callback = function()
  for i = 1, 1000000 do end
  while true do if b < a then return 1 end end
end}
