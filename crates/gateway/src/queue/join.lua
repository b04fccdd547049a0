-- join: the place of a user, taken now if they have none. Shows up for a visitor who is inside.
--
-- ARGV: 2 user
-- Returns { verdict, created, ticket, epoch, number, room }
--   verdict 'waiting': number visitors are ahead; room = 1 when admit may find somebody to let in
--   verdict 'active':  the lease ends at number, in µs
--   verdict 'closed' | 'full' | 'gone' | 'removed': all else is 0

assert(#ARGV == 2, 'join takes 2 arguments')
local user = ARGV[2]

local policy = read_policy()
if not policy then return { absence(), 0, 0, 0, 0, 0 } end
local meta = read_meta()
local now = now_us()
local state = in_force(policy, meta, now)

local lease_end = score(ACTIVE, user)
if lease_end and lease_end > now then
  local ticket = ticket_inside(user)
  return { 'active', 0, ticket, meta.epoch, claim(user, lease_end, policy, now), 0 }
end

local function room()
  if state == 'bypass' then return 1 end
  if state ~= 'open' or bucket_level(policy, meta, now) < TOKEN then return 0 end
  return active_now(now) < policy.max_active and 1 or 0
end

local ticket = score(WAITING, user)
if ticket then
  return { 'waiting', 0, ticket, meta.epoch, redis.call('ZRANK', WAITING, user), room() }
end

if state == 'closed' then return { 'closed', 0, 0, 0, 0, 0 } end
local ahead = redis.call('ZCARD', WAITING)
if ahead >= policy.max_waiting then return { 'full', 0, 0, 0, 0, 0 } end

if lease_end and end_visit(user, meta) == 1 then redis.call('HINCRBY', META, 'no_shows', 1) end
ticket = math.max(meta.last + 1, now)
redis.call('ZADD', WAITING, int(ticket), user)
redis.call('HSET', META, 'last', int(ticket))
redis.call('HINCRBY', META, 'joined', 1)
return { 'waiting', 1, ticket, meta.epoch, ahead, room() }
