-- touch: where a visit stands. A visitor who is inside shows up by it.
--
-- ARGV: 2 user  3 ticket  4 epoch
-- Returns { verdict, number }
--   verdict 'waiting': number visitors are ahead
--   verdict 'active':  the lease ends at number, in µs
--   verdict 'lost':    Redis lost this visit; restore brings it back
--   verdict 'over' | 'gone' | 'removed': number is 0

assert(#ARGV == 4, 'touch takes 4 arguments')
local user, ticket, epoch = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local policy = read_policy()
if not policy then return { absence(), 0 } end
local now = now_us()

local lease_end = score(ACTIVE, user)
if lease_end and ticket_inside(user) == ticket then
  if lease_end <= now then return { 'over', 0 } end
  return { 'active', claim(user, lease_end, policy, now) }
end
if score(WAITING, user) == ticket then
  return { 'waiting', redis.call('ZRANK', WAITING, user) }
end
return { is_lost(user, ticket, epoch, read_meta(), now) and 'lost' or 'over', 0 }
