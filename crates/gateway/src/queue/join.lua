-- join: the place of a user, taken now if they have none. Shows up for a visitor who has one.
--
-- ARGV: 2 near  3 pace (see lanes)  4 user
-- Returns { verdict, created, ticket, epoch, number, room }
--   verdict 'waiting': number visitors are ahead; room = 1 when admit may find somebody to let in
--   verdict 'undrawn': places are drawn when the doors open, at number, in µs
--   verdict 'active':  the lease ends at number, in µs
--   verdict 'closed' | 'full' | 'gone' | 'removed': all else is 0

assert(#ARGV == 4, 'join takes 4 arguments')
local near, pace, user = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

local policy = read_policy()
if not policy then return { absence(), 0, 0, 0, 0, 0 } end
local meta = read_meta()
local now = now_us()
draw(policy, meta, now)

local lease_end = score(ACTIVE, user)
if lease_end and lease_end > now then
  local ticket = ticket_inside(user)
  return { 'active', 0, ticket, meta.epoch, claim(user, lease_end, policy, now), 0 }
end

local lane, key = find(user)
if lane then
  lane = come_back(lane, user, key)
  local verdict, number = tell(user, lane, key, near, pace, policy, meta, now)
  return { verdict, 0, ticket_at(key, meta), meta.epoch, number, room(policy, meta, now) }
end

if policy.state == 'closed' then return { 'closed', 0, 0, 0, 0, 0 } end
local in_line = redis.call('ZCARD', WAITING)
if in_line + redis.call('ZCARD', RETURNED) >= policy.max_waiting then return { 'full', 0, 0, 0, 0, 0 } end

if lease_end and end_visit(user, meta) == 1 then redis.call('HINCRBY', META, 'no_shows', 1) end
local ticket = math.max(meta.last + 1, meta.drawn + 1, now)
key = key_of(ticket, policy, meta)
redis.call('ZADD', WAITING, int(key), user)
redis.call('HSET', META, 'last', int(ticket), 'joined', int(meta.joined + 1))
if is_undrawn(policy, meta, now) then
  return { 'undrawn', 1, ticket, meta.epoch, policy.opens_at, room(policy, meta, now) }
end
-- A new ticket is the highest there is, so all who were in line are ahead.
show_up(user, WAITING, in_line, near, pace, policy, now)
return { 'waiting', 1, ticket, meta.epoch, in_line, room(policy, meta, now) }
