-- Take from a user's caps for a page. A page is {time, hold_s, settled, {counter = {granted, confirmed, within_s}}},
-- what was shown {within_s, bucket, items, bucket, items, ...}.
-- KEYS: pages, shown. ARGV: page, time, hold_s, late_s, most pages, wants as {{counter, wanted, at_most, within_s}}.
-- Returns what each want was granted.
local pages, shown, page, time = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
local hold_s, late_s = tonumber(ARGV[3]), tonumber(ARGV[4])
local wants = cmsgpack.unpack(ARGV[6])

local function granted(parts)
  local answer = {}
  for place, want in ipairs(wants) do
    local part = parts[want[1]]
    answer[place] = part and part[1] or 0
  end
  return answer
end

local known = redis.call('HGET', pages, page)
if known then
  local held = cmsgpack.unpack(known)
  if math.abs(time - held[1]) < held[2] then return granted(held[4]) end
  redis.call('HDEL', pages, page)
end

local on_hold, remembered, oldest, since = {}, 0, nil, nil
local records = redis.call('HGETALL', pages)
for place = 1, #records, 2 do
  local held = cmsgpack.unpack(records[place + 1])
  local age = math.abs(time - held[1])
  if age >= held[2] + late_s then
    redis.call('HDEL', pages, records[place])
  else
    remembered = remembered + 1
    if age >= held[2] then
      if not since or held[1] < since then oldest, since = records[place], held[1] end
    else
      for counter, part in pairs(held[4]) do
        on_hold[counter] = (on_hold[counter] or 0) + part[1] - part[2]
      end
    end
  end
end
if remembered >= tonumber(ARGV[5]) then
  if not oldest then return granted({}) end
  redis.call('HDEL', pages, oldest)
end

local seen = {}
if redis.call('EXISTS', shown) == 1 then
  for start = 1, #wants, 500 do
    local names = {}
    for place = start, math.min(start + 499, #wants) do names[#names + 1] = wants[place][1] end
    for place, window in ipairs(redis.call('HMGET', shown, unpack(names))) do seen[start + place - 1] = window end
  end
end

local parts = {}
for place, want in ipairs(wants) do
  local free = want[3] - (on_hold[want[1]] or 0)
  if seen[place] then
    local window, now = cmsgpack.unpack(seen[place]), math.floor(time * 12 / want[4])
    for bucket = 2, #window, 2 do
      if math.abs(window[bucket] - now) <= 12 then free = free - window[bucket + 1] end
    end
  end
  local items = math.min(want[2], free)
  if items > 0 then parts[want[1]] = {items, 0, want[4]} end
end
redis.call('HSET', pages, page, cmsgpack.pack({time, hold_s, 0, parts}))
redis.call('PEXPIRE', pages, string.format('%.0f', 60000 + 2000 * (hold_s + late_s)))
return granted(parts)
