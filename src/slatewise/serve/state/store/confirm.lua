-- Count an item of a page as shown. KEYS: pages, shown. ARGV: page, counter, time, late_s. Returns 1 if it was.
-- Each time, eight other windows of the user are looked at, and removed if they are over.
local pages, shown, counter, time = KEYS[1], KEYS[2], ARGV[2], tonumber(ARGV[3])
local known = redis.call('HGET', pages, ARGV[1])
if not known then return 0 end
local held = cmsgpack.unpack(known)
local part = held[4][counter]
if not part or part[2] >= part[1] or math.abs(time - held[1]) >= held[2] + tonumber(ARGV[4]) then return 0 end
part[2] = part[2] + 1
redis.call('HSET', pages, ARGV[1], cmsgpack.pack(held))

-- Return a window without what is over, and whether anything is left.
local function lasting(window)
  local now, left = math.floor(time * 12 / window[1]), {window[1]}
  for place = 2, #window, 2 do
    if math.abs(window[place] - now) <= 12 then
      left[#left + 1], left[#left + 2] = window[place], window[place + 1]
    end
  end
  return left, now
end

local stored = redis.call('HGET', shown, counter)
local window, now = lasting(stored and cmsgpack.unpack(stored) or {part[3]})
local at = #window + 1
for place = 2, #window, 2 do
  if window[place] == now then at = place end
end
window[at], window[at + 1] = now, (window[at + 1] or 0) + 1
redis.call('HSET', shown, counter, cmsgpack.pack(window))
local lasts = 60000 + 2000 * part[3]
if redis.call('PTTL', shown) < lasts then redis.call('PEXPIRE', shown, string.format('%.0f', lasts)) end
for _, name in ipairs(redis.call('HRANDFIELD', shown, 8)) do
  local left = lasting(cmsgpack.unpack(redis.call('HGET', shown, name)))
  if #left == 1 then redis.call('HDEL', shown, name) end
end
return 1
