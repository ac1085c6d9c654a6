-- Tests of the examples: perilune test docs/examples

test('counter starts at 1 and counts up', function()
  assert_equal(1, eval_file('counter.lua', { 'counter' }))
  assert_equal(2, eval_file('counter.lua', { 'counter' }))
  assert_equal('2', redis.call('GET', 'counter'))
end)

test('push_if_exists needs the other key', function()
  local keys, args = { 'mykey', 'mylist' }, { 'myvalue' }
  assert_equal(0, eval_file('push_if_exists.lua', keys, args))
  redis.call('SET', 'mykey', 'x')
  assert_equal(1, eval_file('push_if_exists.lua', keys, args))
  assert_equal({ 'myvalue' }, redis.call('LRANGE', 'mylist', 0, -1))
end)

test('conditional_delete compares the value', function()
  redis.call('SET', 'lock', 'mine')
  assert_equal(0, eval_file('conditional_delete.lua', { 'lock' }, { 'other' }))
  assert_equal('mine', redis.call('GET', 'lock'))
  assert_equal(1, eval_file('conditional_delete.lua', { 'lock' }, { 'mine' }))
  assert_nil(redis.call('GET', 'lock'))
end)

test('rate_limiter opens again after its window', function()
  local function request() return eval_file('rate_limiter.lua', { 'user:123' }, { 2, 60 }) end
  assert_equal({ 1, 1, 0 }, { request(), request(), request() })
  assert_equal(60, redis.call('TTL', 'user:123'))
  advance(59000)
  assert_equal(0, request())
  advance(1001)
  assert_equal(1, request())
end)

test('random_push repeats itself for the same seed', function()
  for _, key in ipairs({ 'a', 'b' }) do
    assert_equal(5, eval_file('random_push.lua', { key }, { 5, 7 }))
  end
  local a, b = redis.call('LRANGE', 'a', 0, -1), redis.call('LRANGE', 'b', 0, -1)
  assert_equal(a, b)
end)

test('mylib rounds numbers and refuses other things', function()
  load_library('mylib.lua')
  assert_equal('123.46', redis.call('FCALL_RO', 'TOFIX', 2, '123.456', 2))
  assert_error('a number and 0 to 20 places', function()
    redis.call('FCALL_RO', 'TOFIX', 1, 'many')
  end)
end)

test('mylib counts and deletes keys', function()
  load_library('mylib.lua')
  redis.call('MSET', 'temp:1', 1, 'temp:2', 2, 'other', 3)
  assert_equal('2', redis.call('FCALL_RO', 'countKeys', 1, 'temp:*')[1])
  assert_equal(2, redis.call('FCALL', 'delall', 1, 'temp:*'))
  assert_equal({ 'other' }, redis.call('KEYS', '*'))
end)

test('mylib sums scores', function()
  load_library('mylib.lua')
  assert_equal(3, redis.call('FCALL', 'zAddIncr', 1, 'seen', 'a', 'b', 'a'))
  assert_equal(3, redis.call('FCALL_RO', 'zSumScore', 1, 'seen'))
  assert_equal('2', redis.call('ZSCORE', 'seen', 'a'))
end)
