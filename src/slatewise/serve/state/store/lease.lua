-- Take or renew a lease. KEYS: the lease. ARGV: owner, time, ttl_s. Returns its fence, 0 if another has it.
local held = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'time', 'ttl_s')
local fence = tonumber(held[2] or 0)
if held[1] ~= ARGV[1] then
  if held[1] and math.abs(tonumber(ARGV[2]) - tonumber(held[3])) < tonumber(held[4]) then return 0 end
  fence = fence + 1
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'fence', fence, 'time', ARGV[2], 'ttl_s', ARGV[3])
return fence
