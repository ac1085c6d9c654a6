local redis, __tests, __before = redis, {}, nil
local function test(name, body)
  if type(name) ~= 'string' or type(body) ~= 'function' then
    error('test takes a name and a function', 2)
  end
  __tests[#__tests + 1] = { name, body }
end
local function before_each(body) __before = body end
local function __plain(value)
  if type(value) == 'table' and type(value.ok) == 'string' then return value.ok end
  if type(value) == 'table' and type(value.err) == 'string' then return 'error: ' .. value.err end
  return value
end
local function __show(value, depth)
  value = __plain(value)
  if type(value) == 'string' then return string.format('%q', value) end
  if type(value) ~= 'table' then return tostring(value) end
  if depth > 8 then return '{...}' end
  local parts, count, names = {}, #value, {}
  for at = 1, count do parts[at] = __show(value[at], depth + 1) end
  for name in pairs(value) do
    if type(name) ~= 'number' or name < 1 or name > count or name % 1 ~= 0 then
      names[#names + 1] = name
    end
  end
  table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
  for _, name in ipairs(names) do
    parts[#parts + 1] = tostring(name) .. ' = ' .. __show(value[name], depth + 1)
  end
  return '{' .. table.concat(parts, ', ') .. '}'
end
local function __difference(expected, actual, path, depth)
  expected, actual = __plain(expected), __plain(actual)
  if type(expected) == 'table' and type(actual) == 'table' and depth < 100 then
    for name, value in pairs(expected) do
      local found = __difference(value, actual[name], path .. '[' .. __show(name, 0) .. ']', depth + 1)
      if found then return found end
    end
    for name, value in pairs(actual) do
      if expected[name] == nil then
        return path .. '[' .. __show(name, 0) .. ']: expected nothing, got ' .. __show(value, 0)
      end
    end
    return nil
  end
  if expected ~= actual then
    return path .. ': expected ' .. __show(expected, 0) .. ', got ' .. __show(actual, 0)
  end
end
local function __fail(text, message)
  if message then text = tostring(message) .. ': ' .. text end
  error(text, 3)
end
local function assert_equal(expected, actual, message)
  local found = __difference(expected, actual, 'value', 0)
  if not found then return end
  if type(expected) == 'table' and type(actual) == 'table' then
    found = found .. '\n  expected: ' .. __show(expected, 0) .. '\n  actual:   ' .. __show(actual, 0)
  end
  __fail(found, message)
end
local function assert_not_equal(unexpected, actual, message)
  if not __difference(unexpected, actual, 'value', 0) then
    __fail('expected something else than ' .. __show(actual, 0), message)
  end
end
local function assert_true(value, message)
  if not value then __fail('expected a true value, got ' .. __show(value, 0), message) end
end
local function assert_false(value, message)
  if value then __fail('expected a false value, got ' .. __show(value, 0), message) end
end
local function assert_nil(value, message)
  if value ~= nil and value ~= false then
    __fail('expected nothing, got ' .. __show(value, 0), message)
  end
end
local function __error_text(problem)
  if type(problem) == 'table' then return tostring(problem.err) end
  return tostring(problem)
end
local function assert_error(part, body, ...)
  if type(part) ~= 'string' or type(body) ~= 'function' then
    error('assert_error takes a part of the message and a function', 2)
  end
  local fine, problem = pcall(body, ...)
  if fine then __fail('expected an error with "' .. part .. '", got ' .. __show(problem, 0)) end
  local text = __error_text(problem)
  if not string.find(text, part, 1, true) then
    __fail('expected an error with "' .. part .. '", got "' .. text .. '"')
  end
  return text
end
local function read_file(path) return redis.call('TEST.FILE', path) end
local function eval_file(path, keys, args)
  local words = { 'EVAL', read_file(path), #(keys or {}) }
  for _, key in ipairs(keys or {}) do words[#words + 1] = key end
  for _, arg in ipairs(args or {}) do words[#words + 1] = arg end
  return redis.call(unpack(words))
end
local function load_library(path)
  return redis.call('FUNCTION', 'LOAD', 'REPLACE', read_file(path))
end
local function advance(milliseconds) redis.call('TEST.ADVANCE', milliseconds) end
local function __run_one(body)
  local fine, problem = pcall(function()
    if __before then __before() end
    body()
  end)
  if fine then
    redis.call('TEST.END')
  else
    local text = __error_text(problem)
    if type(problem) == 'table' and problem.line then
      text = 'user_script:' .. tostring(problem.line) .. ': ' .. text
    end
    redis.call('TEST.END', text)
  end
end
local function __run()
  for _, one in ipairs(__tests) do
    redis.setresp(2)
    if redis.call('TEST.BEGIN', one[1]) == 1 then __run_one(one[2]) end
  end
end
