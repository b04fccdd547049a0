-- join: the place of a user, taken now if they have none. Shows up for a visitor who has one.
--
-- ARGV: 2 near  3 pace (see lanes)  4 user
-- Returns verdict, and for the first three created, ticket and epoch
--   verdict 'waiting': ahead; room = 1 when admit may find somebody to let in
--   verdict 'undrawn': places are drawn when the doors open, at opens_at_us; room
--   verdict 'active':  the lease ends at until_us
--   verdict 'closed' | 'full' | 'gone' | 'removed'

assert(#ARGV == 4, 'join takes 4 arguments')
local near, pace, user = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

local policy = read_policy()
if not policy then return { 'verdict', absence() } end
local meta = read_meta()
local now = now_us()
draw(policy, meta, now)

local lease_end = score(ACTIVE, user)
if lease_end and lease_end > now then
  local ticket = ticket_inside(user)
  return { 'verdict', 'active', 'created', 0, 'ticket', ticket, 'epoch', meta.epoch,
    'until_us', claim(user, lease_end, policy, now) }
end

local lane, key = find(user)
if lane then
  lane = come_back(lane, user, key)
  return with(tell(user, lane, key, near, pace, policy, meta, now), 'created', 0,
    'ticket', ticket_at(key, meta), 'epoch', meta.epoch, 'room', room(policy, meta, now))
end

if policy.state == 'closed' then return { 'verdict', 'closed' } end
local in_line = redis.call('ZCARD', WAITING)
if in_line + redis.call('ZCARD', RETURNED) >= policy.max_waiting then
  return { 'verdict', 'full' }
end

if lease_end and end_visit(user, meta) == 1 then redis.call('HINCRBY', META, 'no_shows', 1) end
local ticket = math.max(meta.last + 1, meta.drawn + 1, now)
key = key_of(ticket, policy, meta)
redis.call('ZADD', WAITING, int(key), user)
redis.call('HSET', META, 'last', int(ticket), 'joined', int(meta.joined + 1))
local place = { 'verdict', 'undrawn', 'opens_at_us', policy.opens_at }
if not is_undrawn(policy, meta, now) then
  -- A new ticket is the highest there is, so all who were in line are ahead.
  show_up(user, WAITING, in_line, near, pace, policy, now)
  place = { 'verdict', 'waiting', 'ahead', in_line }
end
return with(place, 'created', 1, 'ticket', ticket, 'epoch', meta.epoch,
  'room', room(policy, meta, now))
