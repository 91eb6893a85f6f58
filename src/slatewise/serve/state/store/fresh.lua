-- Remember keys, and tell which were not. KEYS: the keys. ARGV: time, keep_s. Returns 1 for each that was not.
local answer = {}
for place, key in ipairs(KEYS) do
  local seen = redis.call('GET', key)
  local since, keep_s = string.match(seen or '', '^(%S+) (%S+)$')
  if since and math.abs(tonumber(ARGV[1]) - tonumber(since)) < tonumber(keep_s) then
    answer[place] = 0
  else
    local lasts = string.format('%.0f', 60000 + 2000 * tonumber(ARGV[2]))
    redis.call('SET', key, ARGV[1] .. ' ' .. ARGV[2], 'PX', lasts)
    answer[place] = 1
  end
end
return answer
