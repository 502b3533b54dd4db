-- Appends one outcome to its stream, once. All keys share one hash tag.
-- KEYS  1 stream  2 its counter  3 the signal id's mark
-- ARGV  1 length to trim to  2 seconds an id is remembered  3... the entry's fields and values
-- Answers the outcome's number in the stream, 0 where its id is there already.
if redis.call('EXISTS', KEYS[3]) == 1 then
  return 0
end
local seq = redis.call('INCR', KEYS[2])
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'seq', seq, unpack(ARGV, 3))
redis.call('SET', KEYS[3], seq, 'EX', ARGV[2])
return seq
