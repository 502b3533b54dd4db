-- Appends one signal to one stream, once. All keys share one hash tag.
-- KEYS  1 stream  2 its counter  3 its epoch  4 the signal id's mark
--       5 the producers' positions (may be left out)
-- ARGV  1 the epoch the caller believes in  2 length to trim to  3 seconds an id is remembered
--       4 producer  5 the signal's number in its journal  6... the entry's fields and values
-- Answers the signal's number in the stream, 0 where its id is there already, or -1 where the epoch
-- is missing or another one: then nothing was done.
if redis.call('GET', KEYS[3]) ~= ARGV[1] then
  return -1
end
local seq = 0
if redis.call('EXISTS', KEYS[4]) == 0 then
  -- A script is not rolled back: whatever can fail comes before the first write, and the id is
  -- taken only once the entry is in.
  local kind = redis.call('TYPE', KEYS[1]).ok
  if kind ~= 'stream' and kind ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' is a ' .. kind .. ', not a stream')
  end
  seq = redis.call('INCR', KEYS[2])
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'seq', seq, 'epoch', ARGV[1],
    unpack(ARGV, 6))
  redis.call('SET', KEYS[4], seq, 'EX', ARGV[3])
end
if KEYS[5] then
  redis.call('HSET', KEYS[5], ARGV[4], ARGV[5])
end
return seq
