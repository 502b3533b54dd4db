-- Appends one signal, or what became of one, to one stream, once. All keys share one hash tag.
-- KEYS  1 stream  2 its counter  3 its epoch  4 the signal id's mark  5 the producers' positions
-- ARGV  1 the epoch the caller believes in  2 length to trim to  3 seconds an id is remembered
--       4 producer  5 its number in the producer's journal
--       6 the number of the one that this stream must have before it (0: none)
--       7... the entry's fields and values
-- Answers its number in the stream, or 0 where its id is there already. Nothing was done where it
-- answers -1: the epoch is missing or another one; or -2 - N: the stream has what the producer sent
-- up to number N only, and has lost what it had acknowledged after that.
if redis.call('GET', KEYS[3]) ~= ARGV[1] then
  return -1
end
local has = tonumber(redis.call('HGET', KEYS[5], ARGV[4]) or 0)
if has < tonumber(ARGV[6]) then
  return -2 - has
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
    unpack(ARGV, 7))
  redis.call('SET', KEYS[4], seq, 'EX', ARGV[3])
end
redis.call('HSET', KEYS[5], ARGV[4], ARGV[5])
return seq
