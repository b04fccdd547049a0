-- touch: where a visit stands. A visitor shows up by it, and returns if they were parked.
--
-- ARGV: 2 near  3 pace (see lanes)  4 user  5 ticket  6 epoch
-- Returns verdict
--   verdict 'waiting': ahead; room = 1 for one whose turn has come and for whom
--                      admit may find room
--   verdict 'undrawn': places are drawn when the doors open, at opens_at_us
--   verdict 'active':  the lease ends at until_us
--   verdict 'lost':    Redis lost this visit; restore brings it back
--   verdict 'over' | 'gone' | 'removed'

assert(#ARGV == 6, 'touch takes 6 arguments')
local near, pace, user = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local ticket, epoch = tonumber(ARGV[5]), tonumber(ARGV[6])

local policy = read_policy()
if not policy then return { 'verdict', absence() } end
local now = now_us()

local lease_end = score(ACTIVE, user)
if lease_end and ticket_inside(user) == ticket then
  if lease_end <= now then return { 'verdict', 'over' } end
  return { 'verdict', 'active', 'until_us', claim(user, lease_end, policy, now) }
end
local meta = read_meta()
local lane, key = find(user)
if lane and ticket_at(key, meta) == ticket then
  lane = come_back(lane, user, key)
  return with(tell(user, lane, key, near, pace, policy, meta, now),
    'room', lane == RETURNED and room(policy, meta, now) or 0)
end
return { 'verdict', is_lost(user, ticket, epoch, meta, now) and 'lost' or 'over' }
