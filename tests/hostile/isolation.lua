-- Scripts that try to leave something for the next one, or to reach what scripts must not. The
-- step after `then` runs on another connection.

--- global-assignment
leaked = 1
--> -
--- then
return rawget(_G, 'leaked') == nil and 'clean' or 'leaked'
--> clean
--- global-rawset
pcall(rawset, _G, 'leaked', 1) return 1
--- then
return rawget(_G, 'leaked') == nil and 'clean' or 'leaked'
--> clean
--- global-setmetatable
pcall(setmetatable, _G, {__index = function() return 'leaked' end}) return 1
--- then
local ok, v = pcall(function() return nosuch end) return (not ok) and 'clean' or 'leaked'
--> clean
--- global-metatable-fields
local m = getmetatable(_G) if m then pcall(function() m.__index = function() return 'leaked' end end)
pcall(rawset, m, '__index', function() return 'leaked' end) end return 1
--- then
local ok = pcall(function() return nosuch end) return (not ok) and 'clean' or 'leaked'
--> clean
--- global-through-getfenv
pcall(function() getfenv(0).leaked = 1 end) pcall(function() getfenv(1).leaked = 1 end)
pcall(function() rawset(getfenv(0), 'leaked', 1) end) return 1
--- then
return rawget(_G, 'leaked') == nil and 'clean' or 'leaked'
--> clean
--- global-through-setfenv
pcall(setfenv, 0, {leaked = 1}) pcall(setfenv, 1, {leaked = 1}) return 1
--- then
return rawget(_G, 'leaked') == nil and type(redis) == 'table' and 'clean' or 'leaked'
--> clean
--- environment-of-library-function
pcall(setfenv, string.rep, {}) pcall(setfenv, pcall, {}) pcall(setfenv, redis.call, {}) return 1
--- then
return redis.call('echo', string.rep('a', 2))
--> aa
--- function-that-outlives
string_rep = 1
--> -
--- library-string
pcall(function() string.rep = nil end) pcall(rawset, string, 'rep', nil) return 1
--- then
return string.rep('a', 2)
--> aa
--- library-table-insert
pcall(table.insert, string, 'leaked') pcall(table.insert, table, 1, 'leaked') return 1
--- then
return (string[1] == nil and table[1] == nil) and 'clean' or 'leaked'
--> clean
--- library-table-sort
pcall(table.sort, _G) pcall(table.remove, redis) pcall(table.setn or error, string, 5) return type(redis.call)
--> function
--- library-redis
pcall(function() redis.call = function() return 'leaked' end end)
pcall(rawset, redis, 'call', function() return 'leaked' end) return 1
--- then
return redis.call('echo', 'clean')
--> clean
--- library-metatable
pcall(setmetatable, redis, {__index = function() return 'leaked' end})
pcall(setmetatable, string, {__index = function() return 'leaked' end}) return 1
--- then
return (pcall(function() return redis.nosuch.x end)) and 'leaked' or 'clean'
--> clean
--- string-metatable-assignment
pcall(function() getmetatable('').__index = function() return 'leaked' end end) return 1
--- then
return ('a'):rep(3)
--> aaa
--- string-metatable-rawset
pcall(rawset, getmetatable(''), '__index', function() return 'leaked' end)
pcall(rawset, getmetatable(''), '__add', function() return 'leaked' end) return 1
--- then
return (pcall(function() return 'a' + 'b' end)) and 'leaked' or 'clean'
--> clean
--- string-metatable-through-index
pcall(function() getmetatable('').__index.rep = function() return 'leaked' end end)
pcall(function() rawset(getmetatable('').__index, 'rep', function() return 'leaked' end) end) return 1
--- then
return ('a'):rep(3)
--> aaa
--- string-metatable-call
pcall(function() getmetatable('').__call = function() return 'leaked' end end) return 1
--- then
return (pcall(function() return ('x')() end)) and 'leaked' or 'clean'
--> clean
--- metatable-of-numbers
pcall(setmetatable, 1, {__index = {leaked = 1}}) return (getmetatable(1) == nil) and 'clean' or 'leaked'
--> clean
--- metatable-of-functions
pcall(setmetatable, pcall, {__index = {}})
return (getmetatable(pcall) == nil and getmetatable(nil) == nil and getmetatable(true) == nil) and 'clean' or 'leaked'
--> clean
--- metatable-of-null
local m = getmetatable(cjson.null) return m == nil and 'clean' or 'leaked'
--> clean
--- keys-table-metatable
setmetatable(KEYS, {__index = function() return 'leaked' end})
setmetatable(ARGV, {__index = function() return 'leaked' end}) return 1
--- then
return (KEYS[1] == nil and ARGV[1] == nil) and 'clean' or 'leaked'
--> clean
--- keys-table-fields
KEYS.leaked = 1 ARGV[100] = 'leaked' KEYS[-1] = 'leaked' return 1
--- then
return (KEYS.leaked == nil and ARGV[100] == nil and KEYS[-1] == nil) and 'clean' or 'leaked'
--> clean
--- keys-table-replaced
KEYS = {'leaked'}
--> -
--- random-seed
math.randomseed(42) return tostring(math.random(1000000000))
--- then
math.randomseed(42) local a = math.random(1000000000) math.randomseed(42) return a == math.random(1000000000) and 'clean' or 'leaked'
--> clean
--- cjson-settings
cjson.encode_max_depth(1) cjson.encode_sparse_array(true, 0, 0) cjson.encode_number_precision(3)
cjson.encode_keep_buffer(false) cjson.encode_invalid_numbers(true) cjson.decode_max_depth(1) cjson.decode_invalid_numbers(false) return 1
--- then
return cjson.encode({{{3.14159265}}})
--> 3.14159265
--- cjson-settings-through-new
if cjson.new then cjson.new().encode_max_depth(1) end return 1
--- then
return cjson.encode({{{}}})
--> [[{}]]
--- cjson-null-is-shared
pcall(function() cjson.null.x = 1 end) return cjson.encode(cjson.null)
--> null
--- resp-setting
redis.setresp(3) return 1
--- then
return type(redis.call('hgetall', 'nosuchkey')) .. tostring(redis.call('get', 'nosuchkey'))
--> tablefalse
--- repl-setting
redis.set_repl(redis.REPL_NONE) return 1
--- then
return redis.call('echo', 'clean')
--> clean
--- coroutine-left-over
local c = coroutine.create(function() coroutine.yield() leaked = 1 end) coroutine.resume(c) return type(c)
--> thread
--- then
return coroutine.running() == nil and 'clean' or 'leaked'
--> clean
--- coroutine-left-in-error
coroutine.wrap(function() coroutine.wrap(function() error('x') end)() end)()
--> -
--- then
return coroutine.running() == nil and 'clean' or 'leaked'
--> clean
--- collector-stopped
collectgarbage('stop') collectgarbage('setpause', 100000) collectgarbage('setstepmul', 1) return 1
--- then
for i = 1, 600 do local s = string.rep('a', 100000) .. i end return collectgarbage('count') < 32 * 1024 and 'clean' or 'leaked'
--> clean
--- finalizer
local p = newproxy(true) pcall(function() getmetatable(p).__gc = function() error('leaked') end end)
pcall(rawset, getmetatable(p), '__gc', function() error('leaked') end) return 1
--- then
collectgarbage() collectgarbage() return 'clean'
--> clean
--- finalizer-through-table-library
local m = getmetatable(newproxy(true))
pcall(table.foreach, {__gc = error}, function(k, v) m[k] = v end) return rawget(m, '__gc') == nil and 'clean' or 'leaked'
--> clean
--- weak-tables
local t = setmetatable({}, {__mode = 'kv'}) for i = 1, 1000 do t[{}] = {} end collectgarbage() return next(t) == nil and 'clean' or 'leaked'
--> clean
--- bytecode-dump
local ok, s = pcall(string.dump, function() return 1 end) return (ok and #s > 12) and 'leaked' or 'clean'
--> clean
--- bytecode-load
local f = loadstring('\27Lua\81\0\1\4\8\4\8\0' .. string.rep('\0', 100)) return f == nil and 'clean' or 'leaked'
--> clean
--- bytecode-load-pieces
local at, parts = 0, {'\27', 'Lua', '\81\0\1\4\8\4\8\0', string.rep('\0', 100)}
local f = load(function() at = at + 1 return parts[at] end) return f == nil and 'clean' or 'leaked'
--> clean
--- bytecode-load-after-comment
local f = loadstring('#\n\27Lua\81\0\1\4\8\4\8\0' .. string.rep('\0', 100)) return f == nil and 'clean' or 'leaked'
--> clean
--- absent-debug
return rawget(_G, 'debug') == nil and 'clean' or 'leaked'
--> clean
--- absent-io
return rawget(_G, 'io') == nil and 'clean' or 'leaked'
--> clean
--- absent-package
return (rawget(_G, 'package') == nil and rawget(_G, 'require') == nil and rawget(_G, 'module') == nil) and 'clean' or 'leaked'
--> clean
--- absent-files
return (rawget(_G, 'dofile') == nil and rawget(_G, 'loadfile') == nil and rawget(_G, 'print') == nil) and 'clean' or 'leaked'
--> clean
--- absent-os
local n = 0 for k in pairs(os) do if k ~= 'clock' then n = n + 1 end end
return (n == 0 and not pcall(os.execute, 'true') and not pcall(os.exit)) and 'clean' or 'leaked'
--> clean
--- newproxy-of-library
return (pcall(newproxy, redis)) and 'leaked' or 'clean'
--> clean
--- load-with-environment
local f = loadstring('leaked = 1') return (pcall(f)) and 'leaked' or 'clean'
--> clean
--- setfenv-of-loaded
local f = loadstring('x = 1 return x') setfenv(f, {}) return f()
--> :1
--- setfenv-of-coroutine
local c = coroutine.create(function() return 1 end) pcall(setfenv, c, {}) pcall(getfenv, c) return select(2, coroutine.resume(c))
--> :1
--- getfenv-of-native
local e = getfenv(string.rep) return pcall(rawset, e, 'leaked', 1) and 'tried' or 'refused'
--- then
return (rawget(_G, 'leaked') == nil and pcall(function() return leaked end) == false) and 'clean' or 'leaked'
--> clean
--- getfenv-of-native-reveals
local e = getfenv(string.rep) return (rawget(e, 'dofile') == nil and rawget(e, 'require') == nil) and 'clean' or 'leaked'
--> clean
--- error-handler-replaced
pcall(function() __redis__err__handler = function() return 'leaked' end end)
pcall(rawset, _G, '__redis__err__handler', function() return 'leaked' end) error('told')
--> told
--- select-negative
return pcall(select, -2147483648, 1) and 'leaked' or 'clean'
--> clean
--- ipairs-state
local f, t, i = ipairs({1}) pcall(f, string, 0) pcall(f, _G, -2147483648) return type(f)
--> function
--- next-on-shared
local n = 0 for k in next, string do n = n + 1 end return n > 5 and 'readable' or 'hidden'
--- gmatch-iterator-reused
local f = string.gmatch('a b', '%a') f() f() f() return tostring((f()))
--> nil
