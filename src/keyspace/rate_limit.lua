-- Admits one call into a fixed window, or does not. The window begins with its first call.
-- KEYS  1 the counter
-- ARGV  1 calls admitted in a window  2 length of a window, ms
-- Answers {1 if admitted, calls admitted in this window, ms until it ends}.
local used = tonumber(redis.call('GET', KEYS[1]) or 0)
if not used then
  return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' holds no number')
end
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  -- A new window; or a counter that somebody wrote without its time to live, and that would refuse
  -- for ever.
  left = tonumber(ARGV[2])
  redis.call('SET', KEYS[1], used, 'PX', left)
end
if used >= tonumber(ARGV[1]) then
  return {0, used, left}
end
return {1, redis.call('INCR', KEYS[1]), left}
