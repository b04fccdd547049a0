-- join: the places of users who came together, in the order in which they came; taken now by those who
-- have none. A join is proof of presence for a moment only, and claims nothing.
--
-- ARGV: 2 to 5 what is told (see lanes)  6 how many users  7.. users, then of each who sent a secret which
--       of them, the key for it, and what is kept of it (see secret.rs)
-- Returns verdict 'gone' (also a line that is older than the gateway knows it) | 'removed', or 'joined' and
--   epoch, room = 1 when admit may find somebody to let in, pulse of the gateway (0: nothing was written)
--   over: a list of user, ticket, user, ticket, ... of visits whose lease had ended, before these joins
--   places: for each user who takes a place that may be told the pair ahead, ticket; for all others a
--   reply, with created and ticket for the first three
--     verdict 'waiting': ahead
--     verdict 'undrawn': places are drawn when the doors open, at opens_at_us
--     verdict 'active':  the lease ends at until_us
--     verdict 'closed'
--     verdict 'full':    reason = 'line' or 'parked': what has its full length

local size = tonumber(ARGV[6])
assert(size > 0 and #ARGV >= 6 + size and (#ARGV - size) % 3 == 0, 'join takes users and triples')
local told, users = read_told(), { unpack(ARGV, 7, 6 + size) }
-- As long as a token can be used at most.
local SECRET_SECONDS = 172800

local policy = read_policy()
if not policy then return { 'verdict', absence() } end
local meta = read_meta()
local now = now_us()
if is_behind(meta, now) then return { 'verdict', 'gone' } end
draw(policy, meta, now)

local inside = redis.call('ZMSCORE', ACTIVE, unpack(users))
local waiting = redis.call('ZMSCORE', WAITING, unpack(users))
local is_hidden, is_closed = is_undrawn(policy, meta), in_force(policy, meta, now) == 'closed'
local in_line = redis.call('ZCARD', WAITING)
local returned = redis.call('ZCARD', RETURNED)
local parked = parked_now()
local taken, over = { keys = {}, present = {}, count = 0, tickets = {} }, {}

-- The reply for a place that is taken in this call.
local function reply_of(ahead, ticket, created)
  if is_hidden then
    return { 'verdict', 'undrawn', 'opens_at_us', policy.opens_at, 'created', created, 'ticket', ticket }
  end
  return { 'verdict', 'waiting', 'ahead', ahead, 'created', created, 'ticket', ticket }
end

-- Takes a place behind all others. They are written together at the end.
local function take(user)
  local ticket = math.max(meta.last + 1, meta.drawn + 1, meta.beat + 1, now)
  -- A new ticket is the highest there is, so all who were in line are ahead.
  local ahead, count = in_line, taken.count + 1
  meta.last, taken.count, in_line = ticket, count, in_line + 1
  -- Redis writes a number that is an argument with all its digits.
  taken.keys[2 * count - 1], taken.keys[2 * count] = key_of(ticket, policy, meta), user
  taken.tickets[user] = { ahead, ticket }
  if is_hidden then return reply_of(ahead, ticket, 1) end
  if ahead < told.near then
    taken.present[#taken.present + 1] = int(joined_until(policy, now))
    taken.present[#taken.present + 1] = user
  end
  return taken.tickets[user]
end

local function place_of(user, score_us, key)
  local mine = taken.tickets[user]
  if mine then return reply_of(mine[1], mine[2], 0) end
  if score_us and score_us > now then
    local ticket, lease_end = inside_of(user)
    return { 'verdict', 'active', 'created', 0, 'ticket', ticket, 'until_us', lease_end or score_us }
  end
  if score_us then
    local is_no_show, ticket = end_lease(user, policy, meta, now)
    parked = parked + is_no_show
    if ticket then over[#over + 1], over[#over + 2] = user, int(ticket) end
  end
  local lane = key and WAITING
  if not lane and returned + parked > 0 then lane, key = find(user) end
  if lane then
    lane = come_back(lane, user, key)
    return with(tell(user, lane, key, 'join', told, policy, meta, now), 'created', 0,
      'ticket', ticket_at(key, meta))
  end
  if is_closed then return { 'verdict', 'closed' } end
  if in_line + returned >= policy.max_waiting then return { 'verdict', 'full', 'reason', 'line' } end
  -- All of the line may be parked yet, and shall find room there. With few parked that refuses nobody.
  local may_be_parked = parked + in_line + returned
  if may_be_parked >= parked_most(policy) then return { 'verdict', 'full', 'reason', 'parked' } end
  if policy.idle > 0 then redis.call('ZREM', IDLED, user) end
  return take(user)
end

local places, new = {}, {}
for i, user in ipairs(users) do
  local before = taken.count
  places[i] = place_of(user, tonumber(inside[i]), tonumber(waiting[i]))
  new[i] = taken.count > before and meta.last
end
for i = 7 + size, #ARGV, 3 do
  local ticket = new[tonumber(ARGV[i])]
  if ticket then
    redis.call('SET', ARGV[i + 1], int(ticket) .. ':' .. ARGV[i + 2], 'EX', SECRET_SECONDS)
  end
end
local pulse = taken.count > 0 and next_beat(meta, now) or 0
if taken.count > 0 then
  redis.call('ZADD', WAITING, unpack(taken.keys))
  redis.call('HSET', META, 'last', int(meta.last), 'joined', int(meta.joined + taken.count),
    'beat', int(pulse), 'pulse:' .. GATEWAY, int(pulse))
end
if #taken.present > 0 then redis.call('ZADD', PRESENT, unpack(taken.present)) end
return { 'verdict', 'joined', 'epoch', meta.epoch, 'pulse', pulse, 'room', room(policy, meta, now),
  'over', over, 'places', places }
