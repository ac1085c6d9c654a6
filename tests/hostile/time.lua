-- Scripts that spend time: in library functions, in single instructions, and around their own end.

--- pattern-optional-bombs
return string.find(string.rep('a', 100000), string.rep('a?', 30) .. string.rep('a*', 30) .. 'b')
--- pattern-lazy-bombs
return string.find(string.rep('a', 100000), string.rep('a-', 30) .. 'b')
--- pattern-greedy-nested
return string.match(string.rep('a', 50000), '(a*)(a*)(a*)(a*)b')
--- pattern-balanced-quadratic
return string.find(string.rep('(', 1000000), '%b()')
--- pattern-frontier
return #string.gsub(string.rep('a ', 1000000), '%f[%w]%w-%f[%W]', '')
--- pattern-back-reference
return string.find(string.rep('a', 60000), '(.*)%1b')
--- pattern-long-set
return string.find(string.rep('b', 1000000), '[' .. string.rep('a', 100000) .. ']')
--- pattern-set-again forever
local set = '[^' .. string.rep('a', 100000) .. ']*c'
while true do string.find(string.rep('b', 10000), set) end
--- pattern-plain-find-quadratic
return string.find(string.rep('a', 2000000), string.rep('a', 1000000) .. 'b', 1, true)
--- pattern-gmatch-empty forever
while true do for _ in string.gmatch(string.rep('a', 1000000), '') do end end
--- pattern-gsub-callback forever
while true do string.gsub('aaaa', 'a', function() while true do end end) end
--- pattern-gsub-table forever
local t = setmetatable({}, {__index = function() while true do end end})
string.gsub('a', 'a', t)
--- pattern-gsub-long-replacement
return #string.gsub(string.rep('a', 100000), 'a', string.rep('%0', 1000))
--- string-rep-empty
return #string.rep('', 1e15)
--- string-rep-huge
return string.rep('a', 1e10)
--- string-rep-loop forever
while true do local s = string.rep('ab', 20000000) end
--- string-format-width
return string.format('%99999d', 1)
--- string-format-many forever
local f = string.rep('%99.99f', 200)
local a = {} for i = 1, 200 do a[i] = 1e300 end
while true do string.format(f, unpack(a)) end
--- string-format-long forever
local s = string.rep('a', 5000000)
while true do string.format('%s%s%s%s', s, s, s, s) end
--- string-format-quoted forever
local s = string.rep('"', 5000000)
while true do string.format('%q', s) end
--- string-case forever
local s = string.rep('a', 20000000)
while true do s:upper() s:lower() s:reverse() end
--- string-byte-many
return pcall(string.byte, string.rep('a', 10000000), 1, -1)
--- string-char-many forever
local a = {} for i = 1, 7000 do a[i] = 65 end
while true do string.char(unpack(a)) end
--- string-concat-instruction forever
local s = string.rep('a', 10000000)
while true do local x = s .. s .. s end
--- string-compare-instruction forever
local s = string.rep('a', 20000000)
local a, b = s .. 'a', s .. 'b'
while true do local x = a < b end
--- string-to-number-instruction forever
local s = string.rep(' ', 10000000) .. '1'
while true do local x = s + 1 end
--- string-collisions-in-instructions
local pad = string.rep('x', 512)
local seen = {}
for i = 1, 200000 do seen[i] = pad .. string.format('%08d', i) .. pad .. 'y' end
return #seen
--- string-collisions-in-json
local pad = string.rep('x', 100)
local parts = {}
for i = 1, 60000 do parts[i] = string.format('"%s%07d%s"', pad, i, pad) end
local text = '[' .. table.concat(parts, ',') .. ']'
return #cjson.decode(text)
--- string-collisions-in-json-keys
local parts = {}
for i = 1, 60000 do
  parts[i] = string.format('"%s%d%s%d%s":1', ('x'):rep(65), i % 10, ('x'):rep(70), i, ('x'):rep(200))
end
return type(cjson.decode('{' .. table.concat(parts, ',') .. '}'))
--- string-collisions-in-gsub
local n = 0
local text = {}
for i = 1, 60000 do text[i] = ('x'):rep(129) .. string.format('%06d', i) .. ('x'):rep(129) end
string.gsub(table.concat(text, ' '), '%S+', function(s) n = n + 1 end)
return n
--- string-collisions-in-replies
for i = 1, 20000 do
  redis.call('sadd', 'hostile:set', ('x'):rep(129) .. string.format('%06d', i) .. ('x'):rep(129))
end
local n = #redis.call('smembers', 'hostile:set')
redis.call('del', 'hostile:set')
return n
--- string-collisions-in-msgpack
local t = {}
for i = 1, 30000 do t[i] = ('x'):rep(129) .. string.format('%06d', i) .. ('x'):rep(129) end
return #cmsgpack.unpack(cmsgpack.pack(t))
--- table-sort-always-true forever
local t = {} for i = 1, 200000 do t[i] = i end
while true do pcall(table.sort, t, function() return true end) end
--- table-sort-comparator-loops forever
table.sort({3, 2, 1}, function() while true do end end)
--- table-sort-comparator-yields
return pcall(coroutine.wrap(function() table.sort({3, 2, 1}, function() coroutine.yield() end) end))
--- table-sort-comparator-shrinks
local t = {} for i = 1, 10000 do t[i] = i end
return pcall(table.sort, t, function(a, b) table.remove(t) return a < b end)
--- table-sort-comparator-grows
local t = {} for i = 1, 300 do t[i] = i % 7 end
return pcall(table.sort, t, function(a, b) t[#t + 1] = 1 return a < b end)
--- table-sort-mixed
return pcall(table.sort, {1, 'a', {}, false})
--- table-sort-quadratic
local t = {} for i = 1, 20000 do t[i] = i % 2 end
while true do table.sort(t, function(a, b) return a <= b and a >= b end) end
--- table-sort-errors forever
local t = {} for i = 1, 1000 do t[i] = i end
while true do pcall(table.sort, t, function() error('x') end) end
--- table-concat-long forever
local t = {} for i = 1, 1000 do t[i] = string.rep('a', 10000) end
while true do table.concat(t, ',') end
--- table-concat-range
return pcall(table.concat, {}, 'x', 1, 2147483647)
--- table-concat-wrapping-range
return pcall(table.concat, {}, '', 2147483646, 2147483647)
--- table-concat-separator
local t = {} for i = 1, 100000 do t[i] = '' end
return pcall(table.concat, t, string.rep('a', 100000))
--- table-insert-front forever
local t = {} for i = 1, 1000000 do t[i] = i end
while true do table.insert(t, 1, 0) end
--- table-insert-position
local t = {} return pcall(table.insert, t, -2147483648, 1)
--- table-insert-far
local t = {1} return pcall(table.insert, t, 2147483647, 1)
--- table-remove-front forever
local t = {} for i = 1, 1000000 do t[i] = i end
while true do table.remove(t, 1) table.insert(t, 1) end
--- table-maxn-foreach
local t = {} for i = 1, 1000000 do t[i] = i end
local n = table.maxn(t) table.foreach(t, function() end) return n
--- table-next-over-holes forever
local t = {} for i = 1, 1000000 do t[i] = 1 end
for i = 1, 1000000 do t[i] = nil end
while true do next(t) end
--- table-length-of-sparse forever
local t = {} for i = 1, 30 do t[2 ^ i] = 1 end
while true do local n = #t end
--- table-rehash forever
local t = {} for i = 1, 1000000 do t[i] = 1 end
local k = 0
while true do k = k + 1 t['a' .. k] = 1 t['a' .. k] = nil end
--- table-rehash-of-collisions
local function number(high, sum)
  return (struct.unpack('>d', struct.pack('>I4I4', high, (sum - high) % 2 ^ 32)))
end
local t = {}
for i = 1, 32760 do t[number(0x41000000, 131071 * 32767 + 131070 - i)] = i end
for i = 1, 32780 do t[number(0x40000000 + i, 7)] = i end
--- unpack-wide-range
return pcall(unpack, {}, 1, 2147483647)
--- unpack-most forever
local t = {} for i = 1, 7000 do t[i] = i end
while true do pcall(unpack, t, 1, 7000) end
--- select-far forever
local t = {} for i = 1, 7000 do t[i] = i end
while true do select('#', unpack(t)) end
--- cjson-encode-wide
local t = {} for i = 1, 1000000 do t[i] = 'abc' end return #cjson.encode(t)
--- cjson-encode-shared
local t = {1} for i = 1, 40 do t = {t, t} end return #cjson.encode(t)
--- cjson-encode-escapes forever
local s = string.rep('\1', 5000000) while true do cjson.encode(s) end
--- cjson-encode-sparse
return pcall(cjson.encode, {[1] = 1, [2 ^ 30] = 1})
--- cjson-encode-sparse-allowed
cjson.encode_sparse_array(true, 0, 0) return pcall(cjson.encode, {[1] = 1, [2 ^ 31 - 1] = 1})
--- cjson-decode-wide
return #cjson.decode('[' .. string.rep('1,', 2000000) .. '1]')
--- cjson-decode-blanks forever
local s = string.rep(' ', 20000000) while true do pcall(cjson.decode, s) end
--- cjson-decode-digits forever
local s = string.rep('1', 5000000) while true do pcall(cjson.decode, s) end
--- cjson-decode-string forever
local s = '"' .. string.rep('\\u0041', 1000000) .. '"' while true do cjson.decode(s) end
--- cjson-decode-objects
return #cjson.decode('[' .. string.rep('{"a":{}},', 300000) .. '{}]')
--- cmsgpack-pack-wide
local t = {} for i = 1, 1000000 do t[i] = i end return #cmsgpack.pack(t)
--- cmsgpack-pack-shared
local t = {1} for i = 1, 40 do t = {t, t} end return #cmsgpack.pack(t)
--- cmsgpack-pack-many-arguments forever
local a = {} for i = 1, 7000 do a[i] = i end while true do cmsgpack.pack(unpack(a)) end
--- cmsgpack-unpack-claims-elements
return pcall(cmsgpack.unpack, '\221\255\255\255\255')
--- cmsgpack-unpack-claims-entries
return pcall(cmsgpack.unpack, '\223\255\255\255\255\1\1')
--- cmsgpack-unpack-claims-bytes
return pcall(cmsgpack.unpack, '\219\255\255\255\255abc')
--- cmsgpack-unpack-many
return pcall(cmsgpack.unpack, string.rep('\1', 5000000))
--- cmsgpack-unpack-limit forever
local s = string.rep('\1', 1000000) local at = 0
while at >= 0 do local n, v = cmsgpack.unpack_limit(s, 1, 0) at = 0 end
--- struct-pack-many forever
local f = string.rep('i4', 3000) local a = {} for i = 1, 3000 do a[i] = i end
while true do struct.pack(f, unpack(a)) end
--- struct-pack-padding
return pcall(struct.pack, string.rep('x', 10000000))
--- struct-unpack-strings forever
local s = string.rep('a', 10000000) .. '\0' while true do struct.unpack('s', s) end
--- struct-size-long-format
return pcall(struct.size, string.rep('i', 20000000))
--- bit-many forever
local a = {} for i = 1, 7000 do a[i] = i end while true do bit.bxor(unpack(a)) end
--- sha1-long forever
local s = string.rep('a', 50000000) while true do redis.sha1hex(s) end
--- metamethod-index-loop forever
return setmetatable({}, {__index = function() while true do end end}).x
--- metamethod-newindex-loop forever
setmetatable({}, {__newindex = function() while true do end end}).x = 1
--- metamethod-arithmetic-loop forever
local t = setmetatable({}, {__add = function(a, b) return a end}) while true do t = t + t end
--- metamethod-compare-loop forever
local m = {__lt = function() while true do end end} return setmetatable({}, m) < setmetatable({}, m)
--- metamethod-concat-loop forever
return setmetatable({}, {__concat = function() while true do end end}) .. 'a'
--- metamethod-call-chain
local t = setmetatable({}, {}) getmetatable(t).__call = t return pcall(t)
--- metamethod-tostring-loop forever
return tostring(setmetatable({}, {__tostring = function() while true do end end}))
--- metamethod-len-of-proxy forever
local p = newproxy(true) getmetatable(p).__len = function() while true do end end return #p
--- coroutine-loop forever
while true do coroutine.resume(coroutine.create(function() while true do end end)) end
--- coroutine-yields forever
local c = coroutine.wrap(function() while true do coroutine.yield() end end) while true do c() end
--- coroutine-short-lives forever
while true do coroutine.wrap(function() end)() end
--- coroutine-never-fills-a-count forever
local function a() for i = 1, 200 do end end
local function b() for i = 1, 100 do coroutine.wrap(a)() end end
while true do coroutine.wrap(b)() end
--- pcall-swallows-kill forever
while true do pcall(function() while true do end end) end
--- pcall-of-pcall forever
local function f() while true do pcall(pcall, f) end end f()
--- xpcall-handler-loops forever
while true do
  xpcall(function() while true do end end, function() while true do end end)
end
--- xpcall-handler-errors forever
while true do xpcall(function() error('x') end, function() error('y') end) end
--- xpcall-handler-swallows-kill forever
while true do xpcall(function() while true do end end, function() return 'ignored' end) end
--- kill-swallowed-by-coroutine forever
while true do pcall(coroutine.wrap(function() while true do end end)) end
--- kill-swallowed-by-sort forever
while true do pcall(table.sort, {3, 2, 1}, function() while true do end end) end
--- kill-swallowed-by-load forever
while true do load(function() while true do end end) end
--- kill-swallowed-by-redis-pcall forever
while true do redis.pcall('ping') end
--- kill-swallowed-by-tostring forever
while true do
  pcall(error, setmetatable({}, {__tostring = function() while true do end end}))
  pcall(tostring, setmetatable({}, {__tostring = function() while true do end end}))
end
--- handler-is-redis-handler forever
while true do xpcall(function() error({}) end, __redis__err__handler) end
--- error-with-looping-tostring forever
local p = newproxy(true)
getmetatable(p).__tostring = function() while true do end end
error(p)
--- error-table-with-looping-index forever
pcall(error, setmetatable({}, {__index = function() while true do end end}))
--- deep-recursion
local function f() return 1 + f() end return f()
--- tail-calls forever
local function f() return f() end f()
--- collect-loop forever
while true do collectgarbage() end
--- collect-large-heap forever
local t = {} for i = 1, 300000 do t[i] = {i} end
while true do collectgarbage() end
--- collect-steps forever
local t = {} for i = 1, 300000 do t[i] = {i} end
while true do collectgarbage('step', 1000000) end
--- compile-loop forever
while true do loadstring('return 1') end
--- compile-quadratic-breaks
local s = 'while 1 do ' .. string.rep('do break end ', 60000) .. ' end' return type(loadstring(s))
--- compile-long-line forever
local s = 'return ' .. string.rep('1+', 100000) .. '1' while true do loadstring(s) end
--- compile-reader-forever forever
load(function() return ' ' end)
--- call-over-huge-string forever
local s = string.rep('a', 30000000)
while true do redis.call('echo', s) end
--- call-log forever
local s = string.rep('a', 1000000) while true do redis.log(redis.LOG_DEBUG, s) end
--- call-with-many-arguments forever
local a = {} for i = 1, 7000 do a[i] = 'k' .. i end
while true do redis.call('exists', unpack(a)) end
--- call-keys-over-the-keyspace forever
while true do redis.call('keys', '*a*a*a*b') end
--- call-pattern-bomb
return redis.call('keys', string.rep('*a', 30) .. 'b')
--- reply-shared
local t = {1} for i = 1, 60 do t = {t, t} end return t
--- reply-cyclic
local t = {} t[1] = t t[2] = t return t
--- reply-cyclic-map
redis.setresp(3) local t = {} t.map = {a = t, b = t} return t
--- reply-wide
local t = {} for i = 1, 1000000 do t[i] = i end return t
--- math-huge-loop forever
for i = 1, 1e300 do end
--- number-formats forever
while true do tostring(math.random() * 1e300) end
--- goto-nowhere
for i = 1, 10 do repeat break until false end return 1
--- pattern-plain-check
return string.find('b', string.rep('a', 50000000))
--- pattern-plain-find-once
return string.find(string.rep('ab', 25000000), string.rep('ab', 1000) .. 'bb', 1, true)
--- string-format-quoted-once
return #string.format('%q', string.rep('a', 50000000))
--- string-format-flags-repeated
return pcall(string.format, '%' .. string.rep('0', 10000000) .. 'd', 1)
--- string-table-grows
local t = {} for i = 1, 2000000 do t[i] = 'k' .. i end return #t
--- table-grows-by-names
local t = {} for i = 1, 1000000 do t['k' .. i] = i end return next(t) ~= nil
--- cjson-encode-long-string
return #cjson.encode(string.rep('a', 50000000))
--- cjson-decode-long-number
return pcall(cjson.decode, string.rep('1', 50000000))
--- cjson-decode-long-fraction
return pcall(cjson.decode, '[0.' .. string.rep('1', 50000000) .. ']')
--- cmsgpack-unpack-claims-in-claims
return pcall(cmsgpack.unpack, string.rep('\221\255\255\255\255', 100000))
--- cmsgpack-unpack-keys-that-are-tables
return pcall(cmsgpack.unpack, '\222\255\255' .. string.rep('\144\144', 65535))
--- struct-digits-in-a-format
return pcall(struct.unpack, 'c' .. string.rep('0', 20000000), 'a')
--- struct-controls-without-items forever
local f = string.rep('<>! ', 1000000) while true do struct.pack(f) end
--- gsub-callback-yields
return pcall(coroutine.wrap(function() string.gsub('aaa', '.', coroutine.yield) end))
--- gsub-callback-in-short-coroutines forever
while true do coroutine.wrap(function() string.gsub('aaa', 'a', function() return coroutine.running() and 'b' end) end)() end
--- gsub-callback-errors forever
while true do pcall(string.gsub, string.rep('a', 1000), 'a', function() error({}) end) end
--- table-sort-errors-with-looping-tostring forever
local m = {__tostring = function() while true do end end}
while true do pcall(table.sort, {3, 2, 1}, function() error(setmetatable({}, m)) end) pcall(tostring, setmetatable({}, m)) end
--- metamethod-call-chain-of-tables
local f = function() return 1 end for i = 1, 100000 do f = setmetatable({}, {__call = f}) end return pcall(f)
--- metamethod-index-that-resumes forever
local c = coroutine.wrap(function() while true do coroutine.yield() end end)
local t = setmetatable({}, {__index = function() c() end}) while true do local x = t.x end
--- error-tostring-raises-itself
local p = newproxy(true) getmetatable(p).__tostring = function() error(p) end error(p)
--> -
--- error-tostring-yields
local p = newproxy(true) getmetatable(p).__tostring = coroutine.yield error(p)
--> -
--- error-text-long
error(string.rep('x', 30000000))
--> -ERR
--- error-table-long
error({err = string.rep('x', 30000000)})
--> -xxx
--- error-reply-long
return redis.error_reply(string.rep('x ', 15000000))
--> -x
--- load-names-without-end forever
local n = 0 while true do n = n + 1 loadstring('return 1', '=' .. n) end
--- call-with-long-arguments forever
local s, a = string.rep('a', 1000000), {} for i = 1, 50 do a[i] = s end
while true do redis.call('exists', unpack(a)) end
--- call-with-many-numbers forever
local a = {} for i = 1, 7000 do a[i] = i / 7 end
while true do redis.pcall('exists', unpack(a)) end
--- call-log-long
redis.log(redis.LOG_WARNING, string.rep('x', 30000000)) return 1
--- call-name-long
return redis.pcall(string.rep('x', 30000000)).err ~= nil
--- reply-shared-maps
redis.setresp(3) local t = {1} for i = 1, 60 do t = {map = {a = t, b = t}} end return t
--> -ERR
--- reply-shared-sets
redis.setresp(3) local t = {1} for i = 1, 60 do t = {{map = {a = t}}, t} end return t
--> -ERR
--- reply-wide-within
local t = {} for i = 1, 2000000 do t[i] = i end return {t}
--- slow-instructions-after-fast-ones forever
local s = string.rep('1', 536870912)
while true do
  for i = 1, 400 do end
  for i = 1, 32 do local x = s + 0 end
end
