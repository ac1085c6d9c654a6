-- Replies that could put a connection out of step with its server.

--- status-line-ends
return redis.status_reply('a\r\n:1\r\n+b')
--- status-table-line-ends
return {ok = 'a\r\n$5\r\nhello\r\n'}
--- error-line-ends
return redis.error_reply('a\r\n:1\r\n+b')
--- error-table-line-ends
return {err = 'ERR a\r\n:1\r\n'}
--- error-raised-line-ends
error('a\r\n:1\r\n')
--- error-raised-table-line-ends
error({err = 'A\r\nb\r\n:1'})
--- error-nested-line-ends
return {1, {err = 'ERR a\r\n:1\r\n'}, {ok = 'b\n\rc'}, 2}
--- error-of-command-line-ends
return redis.call('no\r\n:1\r\nsuch')
--- error-of-pcall-line-ends
return redis.pcall('no\r\n:1\r\nsuch')
--- status-of-only-line-ends
return {ok = '\r\n\r\n'}
--- error-of-only-line-ends
return {err = '\r\n\r\n'}
--- error-empty
return redis.error_reply('')
--- status-empty
return redis.status_reply('')
--- status-with-zero
return {ok = 'a\0\r\n:1\r\n'}
--- big-number-line-ends
redis.setresp(3) return {big_number = '1\r\n:1\r\n'}
--- verbatim-format-line-ends
redis.setresp(3) return {verbatim_string = {format = '\r\n:', string = 'x\r\n'}}
--- double-not-a-number
redis.setresp(3) return {double = 0 / 0}
--- double-infinite
redis.setresp(3) return {double = 1 / 0}
--- numbers-out-of-range
return {1e300, -1e300, 0 / 0, 1 / 0, -1 / 0}
--- map-with-odd-keys
redis.setresp(3) return {map = {[1] = 2, [true] = false, [{1}] = {2}}}
--- set-with-odd-members
redis.setresp(3) return {set = {[1] = 2, [{}] = {}}}
--- array-with-hole
return {1, nil, 3}
--- array-of-functions
return {print, pcall, coroutine.create(function() end), newproxy()}
--- unknown-global-line-ends
return _G['a\r\n:1\r\n']
--- readonly-line-ends
_G['a\r\n:1\r\n'] = 1
--- log-line-ends
redis.log(redis.LOG_WARNING, 'a\r\n# forged line\n') return 1
--- syntax-error-line-ends
return loadstring('a\r\n:1\r\n = = 1')
--- runtime-error-in-chunk-with-line-ends
local f = loadstring('error("x")', '=a\r\n:1\r\n') f()
