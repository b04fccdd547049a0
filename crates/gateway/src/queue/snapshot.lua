-- snapshot: what one gateway tells all visitors of the next second. Changes nothing.
--
-- ARGV: none of its own
-- Returns { verdict, now, state, { policy fields }, { counters }, { lengths }, { last minute },
--           { last quarter of an hour }, { draw } }
--   verdict 'present', or 'gone' | 'removed': then only the counters are right
--   lengths     waiting and returned, of these returned, parked, active, near (see lanes)
--   last ...    admitted, passed by, places given back, seconds since the first of them
--   draw        seed or '', highest ticket drawn or 0, entrants, 1 while keys are being sorted

assert(#ARGV == 1, 'snapshot takes 1 argument')
local now = now_us()
local policy, meta = read_policy(), read_meta()
local counters = redis.call('HMGET', META, 'version', 'epoch', 'born', 'last', 'recovers_at',
  'joined', 'admitted', 'no_shows', 'inversions')
for i = 1, #counters do counters[i] = tonumber(counters[i]) or 0 end
local nothing, none = { 0, 0, 0, 0, 0 }, { 0, 0, 0, 0 }
if not policy then
  return { absence(), now, '', {}, counters, nothing, none, none, { '', 0, 0, 0 } }
end

local fields = redis.call('HMGET', POLICY, 'state', 'order', 'opens_at_us', 'max_active',
  'admit_milli', 'lease_seconds', 'claim_seconds', 'max_waiting', 'message')
local minute, quarter = last_minutes(now)
local returned = redis.call('ZCARD', RETURNED)
local parked = redis.call('ZCARD', PARKED) + redis.call('ZCARD', PARKED_BEFORE)
local lengths = { redis.call('ZCARD', WAITING) + returned, returned, parked, active_now(now),
  near_depth(policy, minute[1], now) }
-- A draw that is due is held by the next script that may write; it is certain already.
local entrants = tonumber(redis.call('HGET', META, 'entrants')) or 0
if meta.drawn == 0 and policy.order == 'lottery' and meta.seed and opened_at(policy, now) then
  meta.drawn, entrants = math.max(meta.last, opened_at(policy, now)), redis.call('ZCARD', WAITING)
end
return { 'present', now, in_force(policy, meta, now), fields, counters, lengths,
  minute, quarter,
  { meta.seed or '', meta.drawn, entrants, meta.unsorted and 1 or 0 } }
