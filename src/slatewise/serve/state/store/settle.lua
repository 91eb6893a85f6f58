-- Keep what a page really took. KEYS: pages. ARGV: page, {counter = items}.
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known then return 0 end
local held, used = cmsgpack.unpack(known), cmsgpack.unpack(ARGV[2])
if held[3] == 1 then return 0 end
held[3] = 1
for counter, part in pairs(held[4]) do
  part[1] = math.max(used[counter] or 0, part[2])
  if part[1] == 0 then held[4][counter] = nil end
end
redis.call('HSET', KEYS[1], ARGV[1], cmsgpack.pack(held))
return 1
