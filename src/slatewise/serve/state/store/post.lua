-- Put letters into a box. KEYS: the box. ARGV: most letters, then the letters. Returns how many did not fit.
local room = tonumber(ARGV[1]) - redis.call('LLEN', KEYS[1])
local fitting = math.max(math.min(#ARGV - 1, room), 0)
for place = 2, fitting + 1 do redis.call('RPUSH', KEYS[1], ARGV[place]) end
redis.call('PEXPIRE', KEYS[1], '86400000')
return #ARGV - 1 - fitting
