-- snapshot: what one gateway tells all visitors of the next second. Changes nothing.
--
-- ARGV: none of its own
-- Returns { verdict, now, state, { policy fields }, { counters }, waiting, active,
--           admitted in the last minute, seconds since the first of those }
--   verdict 'present', or 'gone' | 'removed': then only the counters are right

assert(#ARGV == 1, 'snapshot takes 1 argument')
local now = now_us()
local policy, meta = read_policy(), read_meta()
local counters = redis.call('HMGET', META, 'version', 'epoch', 'born', 'last', 'recovers_at',
  'joined', 'admitted', 'no_shows')
for i = 1, #counters do counters[i] = tonumber(counters[i]) or 0 end
if not policy then return { absence(), now, '', {}, counters, 0, 0, 0, 0 } end

local second = math.floor(now / 1000000)
local admitted, oldest = 0, second
local ring = redis.call('HVALS', ADMITTED)
for _, kept in ipairs(ring) do
  local of, count = string.match(kept, '^(%d+):(%d+)$')
  of = tonumber(of)
  if of > second - 60 and of <= second then
    admitted = admitted + tonumber(count)
    oldest = math.min(oldest, of)
  end
end

local fields = redis.call('HMGET', POLICY, 'state', 'order', 'opens_at_us', 'max_active',
  'admit_milli', 'lease_seconds', 'claim_seconds', 'max_waiting', 'message')
return { 'present', now, in_force(policy, meta, now), fields, counters,
  redis.call('ZCARD', WAITING), active_now(now), admitted, second - oldest + 1 }
