-- Add a worker's counts once, and return what windows hold.
-- KEYS: workers, then a window for each counter. ARGV: worker, sequence, time, worker_s, repeat_s, then span and amount
-- of each counter. Returns the number of workers, then the totals as text.
local workers, worker, time = KEYS[1], ARGV[1], tonumber(ARGV[3])
local last = redis.call('HGET', workers, worker)
local sequence = last and tonumber(string.match(last, '^%d+')) or 0
local is_new = tonumber(ARGV[2]) > sequence
if is_new then sequence = tonumber(ARGV[2]) end
redis.call('HSET', workers, worker, string.format('%.0f %s', sequence, ARGV[3]))
redis.call('PEXPIRE', workers, string.format('%.0f', 2000 * tonumber(ARGV[5])))

local answer = {0}
local known = redis.call('HGETALL', workers)
for place = 1, #known, 2 do
  local age = math.abs(time - tonumber(string.match(known[place + 1], ' (.+)$')))
  if age < tonumber(ARGV[4]) then answer[1] = answer[1] + 1 end
  if age >= tonumber(ARGV[5]) then redis.call('HDEL', workers, known[place]) end
end

for place = 2, #KEYS do
  local window, span, amount = KEYS[place], tonumber(ARGV[2 * place + 2]), ARGV[2 * place + 3]
  local now, total = math.floor(time * 12 / span), 0
  local adds = is_new and amount ~= '0'
  if adds then
    redis.call('HINCRBYFLOAT', window, string.format('%.0f', now), amount)
    redis.call('PEXPIRE', window, string.format('%.0f', 60000 + 2000 * span))
  end
  local buckets = redis.call('HGETALL', window)
  for field = 1, #buckets, 2 do
    if math.abs(tonumber(buckets[field]) - now) <= 12 then
      total = total + tonumber(buckets[field + 1])
    elseif adds then
      redis.call('HDEL', window, buckets[field])
    end
  end
  answer[place] = string.format('%.17g', total)
end
return answer
