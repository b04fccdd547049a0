-- over: visits that a gateway saw end in an older life of the queue stay over in this one, also those that
-- somebody brought back meanwhile.
--
-- ARGV: 2.. user and ticket of each
-- Returns verdict 'done' | 'gone' | 'removed'

assert(#ARGV >= 3 and #ARGV % 2 == 1, 'over takes pairs')
if redis.call('EXISTS', POLICY) == 0 then return { 'verdict', absence() } end
local meta = read_meta()

local numbers, freed = {}, 0
for i = 2, #ARGV, 2 do
  local user, ticket = ARGV[i], tonumber(ARGV[i + 1])
  numbers[#numbers + 1] = ARGV[i + 1]
  local lane, key = find(user)
  if lane and ticket_at(key, meta) == ticket then
    redis.call('ZREM', lane, user)
    redis.call('ZREM', PRESENT, user)
  elseif inside_of(user) == ticket then
    take_out(user)
    freed = freed + 1
  end
end
redis.call('SADD', ENDED, unpack(numbers))
redis.call('EXPIRE', ENDED, ENDED_SECONDS)
if freed > 0 then count(0, 0, freed, now_us()) end
return { 'verdict', 'done' }
