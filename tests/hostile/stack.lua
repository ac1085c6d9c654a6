-- Scripts that would overflow the native stack where something recurses without a limit.

--- pattern-nested-captures
return pcall(string.find, 'a', string.rep('(', 100000) .. string.rep(')', 100000))
--- pattern-one-capture-less
return pcall(string.find, string.rep('a', 100), string.rep('(a)', 32))
--- pattern-deep-match
return pcall(string.find, string.rep('a', 5000000), '.-b')
--- pattern-max-expand-deep
return pcall(string.match, string.rep('a', 1000000), string.rep('a?', 200000))
--- pattern-optional-chain
return pcall(string.find, string.rep('x', 300000), string.rep('x?', 300000) .. 'y')
--- pattern-sequence-of-captures
return pcall(string.find, string.rep('x', 300000), '(' .. string.rep('x-', 100000) .. ')y')
--- pattern-unfinished
return {pcall(string.find, 'a', '%')}, pcall(string.find, 'a', '[%')
--- pattern-unfinished-frontier
return pcall(string.find, 'a', '%f')
--- pattern-unfinished-balance
return pcall(string.find, 'a', '%b')
--- parser-parentheses
return (loadstring('return ' .. string.rep('(', 100000) .. '1' .. string.rep(')', 100000)))
--- parser-tables
return (loadstring('return ' .. string.rep('{', 100000) .. string.rep('}', 100000)))
--- parser-functions
return (loadstring(string.rep('return function() ', 100000) .. string.rep(' end', 100000)))
--- parser-blocks
return (loadstring(string.rep('do ', 100000) .. string.rep(' end', 100000)))
--- parser-unary
return (loadstring('return ' .. string.rep('not ', 1000000) .. 'x'))
--- parser-minus
return (loadstring('return ' .. string.rep('- ', 1000000) .. 'x'))
--- parser-concat
return (loadstring('return ' .. string.rep("'a'..", 1000000) .. "'a'"))
--- parser-power
return (loadstring('return ' .. string.rep('2^', 1000000) .. '2'))
--- parser-else-if
return (loadstring('if x then ' .. string.rep('elseif x then ', 100000) .. 'end'))
--- parser-calls
return (loadstring('return f' .. string.rep('()', 1000000)))
--- parser-nested-calls
return (loadstring('return ' .. string.rep('f(', 100000) .. string.rep(')', 100000)))
--- parser-index
return (loadstring('return a' .. string.rep('.a', 1000000)))
--- parser-nested-index
return (loadstring('return ' .. string.rep('a[', 100000) .. '1' .. string.rep(']', 100000)))
--- parser-assignments
return (loadstring(string.rep('a,', 100000) .. 'a = 1'))
--- parser-locals
local s = {} for i = 1, 300 do s[i] = 'local a' .. i .. ' = 1' end return (loadstring(table.concat(s, '\n')))
--- parser-upvalues
local s = {} for i = 1, 150 do s[i] = 'local a' .. i end
return (loadstring(table.concat(s, '\n') .. ' return function() return a1' .. string.rep('+ a2', 100) .. ' end'))
--- parser-constants
local s = {} for i = 1, 300000 do s[i] = 'x=' .. i end return type(loadstring(table.concat(s, ' ')))
--- parser-long-brackets
return (loadstring('return [' .. string.rep('=', 1000000) .. '[a]' .. string.rep('=', 1000000) .. ']'))
--- parser-long-name
return type(loadstring('return ' .. string.rep('a', 10000000)))
--- reply-nested
local t = {} for i = 1, 100000 do t = {t} end return t
--- reply-nested-map
redis.setresp(3) local t = {} for i = 1, 100000 do t = {map = {a = t}} end return t
--- reply-nested-set
redis.setresp(3) local t = {} for i = 1, 100000 do t = {set = {[t] = true}} end return t
--- reply-contains-itself
local t = {} t[1] = t return t
--- reply-error-in-depth
local t = {err = 'X y'} for i = 1, 5000 do t = {t} end return t
--- call-reply-nested
return redis.call('eval', 'return 1', 0)
--- cjson-encode-nested
local t = {} for i = 1, 100000 do t = {t} end return pcall(cjson.encode, t)
--- cjson-encode-nested-unlimited
cjson.encode_max_depth(2147483647)
local t = {} for i = 1, 1000000 do t = {t} end return pcall(cjson.encode, t)
--- cjson-encode-cycle
local t = {} t[1] = t cjson.encode_max_depth(2147483647) return pcall(cjson.encode, t)
--- cjson-decode-nested
return pcall(cjson.decode, string.rep('[', 1000000))
--- cjson-decode-nested-unlimited
cjson.decode_max_depth(2147483647) return pcall(cjson.decode, string.rep('[', 1000000) .. string.rep(']', 1000000))
--- cjson-decode-nested-objects
cjson.decode_max_depth(2147483647) return pcall(cjson.decode, string.rep('{"a":', 1000000))
--- cmsgpack-pack-nested
local t = {} for i = 1, 100000 do t = {t} end return #cmsgpack.pack(t)
--- cmsgpack-pack-cycle
local t = {} t[1] = t return #cmsgpack.pack(t)
--- cmsgpack-unpack-nested
return pcall(cmsgpack.unpack, string.rep('\145', 1000000) .. '\1')
--- cmsgpack-unpack-nested-maps
return pcall(cmsgpack.unpack, string.rep('\129\161a', 1000000) .. '\1')
--- metamethod-index-chain
local t = {} for i = 1, 1000 do t = setmetatable({}, {__index = t}) end return pcall(function() return t.x end)
--- metamethod-index-itself
local t = {} setmetatable(t, {__index = t}) getmetatable(t).__index = setmetatable({}, getmetatable(t))
return pcall(function() return t.x end)
--- metamethod-index-recursion
local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end
return pcall(function() return t.x end)
--- metamethod-newindex-recursion
local t = setmetatable({}, {}) getmetatable(t).__newindex = function(t, k, v) t[k] = v end
return pcall(function() t.x = 1 end)
--- metamethod-newindex-chain
local t = {} for i = 1, 1000 do t = setmetatable({}, {__newindex = t}) end return pcall(function() t.x = 1 end)
--- metamethod-eq-recursion
local m = {} m.__eq = function(a, b) return a == b end
local a, b = setmetatable({}, m), setmetatable({}, m) return pcall(function() return a == b end)
--- metamethod-lt-recursion
local m = {} m.__lt = function(a, b) return a < b end
local a, b = setmetatable({}, m), setmetatable({}, m) return pcall(function() return a < b end)
--- metamethod-concat-recursion
local t = setmetatable({}, {}) getmetatable(t).__concat = function(a, b) return a .. b end
return pcall(function() return t .. 'x' end)
--- metamethod-arithmetic-recursion
local t = setmetatable({}, {}) getmetatable(t).__unm = function(a) return -a end
return pcall(function() return -t end)
--- metamethod-call-recursion
local t = setmetatable({}, {}) getmetatable(t).__call = function(self) return 1 + self() end return pcall(t)
--- metamethod-tostring-recursion
local t = setmetatable({}, {}) getmetatable(t).__tostring = function(t) return tostring(t) end
return pcall(tostring, t)
--- coroutine-in-coroutine
local function f() return coroutine.wrap(f)() end return pcall(f)
--- coroutine-resume-nested
local function f() return coroutine.resume(coroutine.create(f)) end return f()
--- coroutine-in-sort
local function f() table.sort({2, 1}, function() coroutine.wrap(f)() return true end) end return pcall(f)
--- coroutine-resumes-itself
local c c = coroutine.create(function() return coroutine.resume(c) end) return {coroutine.resume(c)}
--- coroutine-wrap-resumes-itself
local c c = coroutine.wrap(function() return c() end) return pcall(c)
--- pcall-in-pcall
local function f() return pcall(f) end return f()
--- xpcall-in-handler
local function f() return xpcall(error, f) end return f()
--- gsub-in-gsub
local function f() return (string.gsub('a', 'a', f)) end return pcall(f)
--- sort-in-sort
local function f() table.sort({2, 1}, f) return true end return pcall(f)
--- load-in-load
local function f() load(f) return nil end return pcall(f)
--- loadstring-in-loadstring
local s = 'local s = ... return loadstring(s)(s)' return pcall(loadstring(s), s)
--- foreach-in-foreach
local function f() table.foreach({1}, f) end return pcall(f)
--- error-object-recursion
local t = setmetatable({}, {__tostring = function(t) error(t) end}) error(t)
--- error-object-index-recursion
local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end error(t)
--- error-proxy
local p = newproxy(true) getmetatable(p).__index = function() error('again') end error(p)
--- error-nil
error()
--- error-function
error(function() end)
--- error-coroutine
error(coroutine.create(function() end))
--- error-table-with-metatable-newindex
error(setmetatable({}, {__newindex = function() error('no') end}))
--- error-table-fields
error({err = {}, source = {}, line = {}})
--- error-table-numeric
error({err = 12, line = 'x'})
--- error-boolean
error(false)
--- varargs-many
local function f(...) return select('#', ...) end
local t = {} for i = 1, 7900 do t[i] = i end return f(unpack(t))
--- varargs-recursion
local function f(...) return f(1, ...) end return pcall(f)
--- concat-many
return (loadstring('local a = "x" return ' .. string.rep('a..', 240) .. 'a'))()
--- setmetatable-cycle
local a, b = {}, {} setmetatable(a, b) setmetatable(b, a) a.__index = b b.__index = a
return pcall(function() return a.x end)
--- reply-outgrows-stack
redis.setresp(3)
local t = {} for i = 1, 7985 do t[i] = 'x' end t[7985] = 'set'
return select(2, pcall(redis.call, 'COMMAND', 'DOCS', unpack(t)))
--> lua stack limit reach
--- then
redis.setresp(3)
for arguments = 7970, 7990 do
  local t = {} for i = 1, arguments do t[i] = 'x' end t[arguments] = 'set'
  pcall(redis.call, 'COMMAND', 'DOCS', unpack(t))
end
return cjson.encode({1})
--> [1]
