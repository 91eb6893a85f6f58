-- Write a record. KEYS: the record. ARGV: body, fence, time. Returns 0 if there is one under a higher fence.
local fence = redis.call('HGET', KEYS[1], 'fence')
if fence and tonumber(fence) > tonumber(ARGV[2]) then return 0 end
redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('HSET', KEYS[1], 'fence', ARGV[2], 'time', ARGV[3], 'body', ARGV[1])
return 1
