-- Scripts that take memory. The server under test has `lua-memory-limit 64mb`.

--- table-grows
local t = {} while true do t[#t + 1] = {} end
--> not enough memory
--- then
return 'usable'
--> usable
--- string-doubles
local s = 'a' while true do s = s .. s end
--> -
--- strings-kept
local t = {} while true do t[#t + 1] = string.rep('a', 100000) .. #t end
--> -
--- closures-kept
local t = {} while true do local x = #t t[#t + 1] = function() return x end end
--> -
--- coroutines-kept
local t = {} while true do t[#t + 1] = coroutine.create(function() end) end
--> -
--- proxies-kept
local t = {} while true do t[#t + 1] = newproxy(true) end
--> -
--- functions-kept
local t = {} while true do t[#t + 1] = loadstring('return ' .. #t) end
--> -
--- limit-caught-again-and-again forever
local t = {} while true do pcall(function() t[#t + 1] = string.rep('a', 1000000) .. #t end) end
--- limit-in-coroutine
local c = coroutine.wrap(function() local t = {} while true do t[#t + 1] = {} end end) c()
--> -
--- limit-in-metamethod
local t = setmetatable({}, {__index = function(t, k) local x = {} while true do x[#x + 1] = {} end end}) return t.x
--> -
--- limit-in-sort
table.sort({3, 2, 1}, function() local t = {} while true do t[#t + 1] = {} end end)
--> -
--- limit-in-gsub
string.gsub('a', 'a', function() local t = {} while true do t[#t + 1] = {} end end)
--> -
--- limit-in-handler
xpcall(error, function() local t = {} while true do t[#t + 1] = {} end end) return 'went on'
--- limit-in-tostring
error(setmetatable({}, {__tostring = function() local t = {} while true do t[#t + 1] = {} end end}))
--> -
--- concat-of-a-huge-table
local s, t = string.rep('a', 1000000), {} for i = 1, 1000 do t[i] = s end return table.concat(t)
--> -
--- format-of-huge-strings
local s = string.rep('a', 20000000) return #string.format('%s%s%s%s%s%s', s, s, s, s, s, s)
--- rep-of-all
return #string.rep('a', 500000000)
--- gsub-explodes
return #string.gsub(string.rep('a', 100000), 'a', string.rep('b', 100000))
--> -
--- json-explodes
return #cjson.encode(string.rep('\1', 400000000))
--- json-grows
local t = {} for i = 1, 20 do t[i] = string.rep('\1', 2000000) end
local x = {} while true do x[#x + 1] = cjson.encode(t) .. #x end
--> -
--- msgpack-grows
local s = string.rep('a', 10000000) local t = {} while true do t[#t + 1] = cmsgpack.pack(s, #t) end
--> -
--- decode-grows
local t = {} local s = '[' .. string.rep('[],', 100000) .. '1]' while true do t[#t + 1] = cjson.decode(s) end
--> -
--- reply-of-one-huge-string
local s = string.rep('a', 1000000) local t = {} for i = 1, 2000 do t[i] = s end return t
--> -ERR the reply of the script is too large
--- upvalues-kept
local f = function() end while true do local g = f f = function() return g end end
--> -
--- error-carries-it-all
local t = {} local ok = pcall(function() while true do t[#t + 1] = {} end end) error(t)
--> -
--- then
local t = {} for i = 1, 100000 do t[i] = i end return #t
--> :100000
--- huge-error-text
error(string.rep('a', 10000000))
--- huge-status
return redis.status_reply(string.rep('a', 10000000))
--- huge-table-constructor
return #loadstring('return {' .. string.rep('1,', 1000000) .. '}')()
--> :1000000
--- vararg-tables
local t = {} while true do t[#t + 1] = {unpack(t, 1, math.min(#t, 5000))} end
--> -
--- full-where-coroutines-nest-too-deep
local big, list, last = {string.rep('x', 25000000), string.rep('y', 25000000)}, {}, 0
for i = 1, 300000 do list[i] = false end
local function grow() while true do last = last + 1 list[last] = function() end end end
local text = 'none'
local co = {}
for i = 1, 250 do
  co[i] = coroutine.create(function()
    if i == 190 then pcall(grow) end
    local ok, why = coroutine.resume(co[i + 1])
    if not ok and text == 'none' then text = why end
  end)
end
coroutine.resume(co[1])
list = nil
return text
--> C stack overflow
--- strings-of-library-functions-kept
local t = {} for i = 1, 16 do t[i] = 0 end
for i = 1, 16 do t[i] = string.rep(string.char(64 + i), 33554432) end
--> not enough memory
--- replies-of-commands-kept
local t = {} for i = 1, 1000 do t[i] = 0 end
redis.call('SET', 'hostile:long', string.rep('a', 1000000))
for i = 1, 1000 do t[i] = redis.call('GETRANGE', 'hostile:long', i, -1) end
--> not enough memory
--- then
return redis.call('DEL', 'hostile:long')
--> :1
--- unpacked-at-once
return #cmsgpack.unpack('\221\0\64\0\0' .. string.rep('\144', 4194304))
--> not enough memory
--- decoded-at-once
return #cjson.decode('[' .. string.rep('[],', 4000000) .. '1]')
--> not enough memory
