-- touch: where a visit stands. A visitor shows up by it, and returns if they were parked.
--
-- ARGV: 2 to 5 what is told (see lanes)  6 proof: 'poll', which claims, or 'watch'
--       7 user  8 ticket  9 epoch
-- Returns verdict
--   verdict 'waiting': ahead; room = 1 for one whose turn has come and for whom
--                      admit may find room
--   verdict 'undrawn': places are drawn when the doors open, at opens_at_us
--   verdict 'active':  the lease ends at until_us
--   verdict 'lost':    Redis lost this visit; restore brings it back. epoch: of this life
--   verdict 'idle':    the visit is over because nothing was asked for too long
--   verdict 'over' | 'gone' (also a line that is older than the gateway knows it) | 'removed'

assert(#ARGV == 9, 'touch takes 9 arguments')
local told, proof, user = read_told(), ARGV[6], ARGV[7]
local ticket, epoch = tonumber(ARGV[8]), tonumber(ARGV[9])

local policy = read_policy()
if not policy then return { 'verdict', absence() } end
local now = now_us()

local score_us = score(ACTIVE, user)
local own, lease_end
if score_us then own, lease_end = inside_of(user) end
if own == ticket and score_us > now then
  if proof == 'poll' then lease_end = claim(user, score_us, policy, now) end
  return { 'verdict', 'active', 'until_us', lease_end or score_us }
end
local meta = read_meta()
if score_us and score_us <= now and redis.call('SISMEMBER', UNCLAIMED, user) == 1 then
  end_lease(user, policy, meta, now)
end
local lane, key = find(user)
if lane and ticket_at(key, meta) == ticket then
  -- A stream that was open before somebody was parked is no sign that they came back.
  if proof == 'watch' and lane ~= WAITING and lane ~= RETURNED then
    if is_undrawn(policy, meta) then return { 'verdict', 'undrawn', 'opens_at_us', policy.opens_at } end
    return { 'verdict', 'waiting', 'ahead', ahead_of(lane, user, key) }
  end
  lane = come_back(lane, user, key)
  return with(tell(user, lane, key, proof, told, policy, meta, now),
    'room', lane == RETURNED and room(policy, meta, now) or 0)
end
if is_behind(meta, now) then return { 'verdict', 'gone' } end
if own == ticket and not lane then
  return { 'verdict', lease_end and lease_end > now and 'idle' or 'over' }
end
local idled = not lane and policy.idle > 0 and score(IDLED, user)
if idled and idled > now then return { 'verdict', 'idle' } end
local is_over = not is_lost(user, ticket, epoch, meta, now)
return { 'verdict', is_over and 'over' or 'lost', 'epoch', meta.epoch }
