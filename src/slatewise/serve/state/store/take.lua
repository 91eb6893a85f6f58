-- Take letters out of a box, oldest first. KEYS: the box. ARGV: most letters.
local most = tonumber(ARGV[1])
if most < 1 then return {} end
local letters = redis.call('LRANGE', KEYS[1], 0, most - 1)
redis.call('LTRIM', KEYS[1], most, -1)
return letters
