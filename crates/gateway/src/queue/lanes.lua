-- lanes: where visits stand, and who is present.
--
-- A visit that is not inside stands in one of four lanes, in each by the key of its place:
--   waiting        the line
--   returned       those whose turn came while they were away and who are here again
--   parked         those whose turn came and who were not there; parked_before: since longer
-- Ahead of a visit are those in waiting with a smaller key, whatever lane it stands in itself. Nobody
-- enters waiting but behind all others, so this number never grows.
--
-- Present (user by the instant in µs until which) is recorded of those only whose turn may come
-- soon. Absent is who said that they would ask again and did not, for a whole silence.

assert(WAITING ~= RETURNED and PARKED ~= PARKED_BEFORE, 'lanes are four keys')
local LANES = { WAITING, RETURNED, PARKED, PARKED_BEFORE }
-- Shortest silence: polls are a second apart at least, and a network may lose one.
local SILENCE_LEAST = 5000000
-- Longest pause that a visitor is told, with its jitter.
local PAUSE_MOST = 360000000
-- Nearer than so many to the head everybody is recorded, at 100 bytes each, ...
local NEAR_LEAST = 4096
-- ... and beyond so many nobody.
local NEAR_MOST = 150000
-- Of 20 who are near, one at least is there: the share of ghosts at which the rate is kept.
local NEAR_SHARE = 20

-- The lane of a user and the key in it.
local function find(user)
  local key = score(WAITING, user)
  if key then return WAITING, key end
  -- Mostly nobody is in another one, and one question tells it of all three.
  if redis.call('EXISTS', RETURNED, PARKED, PARKED_BEFORE) == 0 then return nil end
  for i = 2, #LANES do
    key = score(LANES[i], user)
    if key then return LANES[i], key end
  end
end

local function ahead_of(lane, user, key)
  if lane == WAITING then return redis.call('ZRANK', WAITING, user) end
  return redis.call('ZCOUNT', WAITING, '-inf', '(' .. int(key))
end

-- Who was parked returns. Gives the lane in which the visit stands now.
local function come_back(lane, user, key)
  if lane ~= PARKED and lane ~= PARKED_BEFORE then return lane end
  redis.call('ZREM', lane, user)
  redis.call('ZADD', RETURNED, int(key), user)
  return RETURNED
end

-- For how long a visitor may be silent beyond the pause that they were told.
local function silence(policy)
  return math.max(policy.claim, SILENCE_LEAST)
end

-- Up to which distance from the head visitors are recorded: their turn may come within a minute.
local function near_depth(policy, admitted, now)
  local free = math.max(0, policy.max_active - active_now(now))
  local soon = math.min(policy.admit_milli * 60 / 1000, free + 2 * admitted)
  return math.floor(math.min(NEAR_MOST, math.max(NEAR_LEAST, NEAR_SHARE * soon)))
end

-- Records that a visitor is there, if they are near. pace is the longest pause in µs that a visitor
-- is told for each one before them.
local function show_up(user, lane, ahead, near, pace, policy, now)
  if lane == WAITING and ahead >= near then return 0 end
  local turn = ahead + 1 + redis.call('ZCARD', RETURNED)
  local pause = math.min(PAUSE_MOST, pace * turn)
  redis.call('ZADD', PRESENT, int(now + silence(policy) + pause), user)
  return 1
end

-- The reply for a visitor in line: 'waiting' and how many are ahead, or 'undrawn' and when the
-- doors open. They show up by it; where lots are secret, nothing is done that depends on one.
local function tell(user, lane, key, near, pace, policy, meta, now)
  if is_undrawn(policy, meta, now) then
    return { 'verdict', 'undrawn', 'opens_at_us', policy.opens_at }
  end
  local ahead = ahead_of(lane, user, key)
  show_up(user, lane, ahead, near, pace, policy, now)
  return { 'verdict', 'waiting', 'ahead', ahead }
end

-- Whether admit may find somebody to let in: 1 or 0.
local function room(policy, meta, now)
  local state = in_force(policy, meta, now)
  if state == 'bypass' then return 1 end
  if state ~= 'open' or bucket_level(policy, meta, now) < TOKEN then return 0 end
  return active_now(now) < policy.max_active and 1 or 0
end

-- A visitor shows up: once, the claim lease becomes the full lease. Returns the lease end.
local function claim(user, lease_end, policy, now)
  if redis.call('SREM', UNCLAIMED, user) == 1 then
    lease_end = now + policy.lease
    redis.call('ZADD', ACTIVE, 'XX', int(lease_end), user)
  end
  return lease_end
end

-- A ticket older than this life of the queue was brought back by its token; once the visit is
-- over the token must not bring it back again.
local function forget_ticket(ticket, meta)
  if ticket and ticket < meta.epoch then
    redis.call('SADD', ENDED, int(ticket))
    redis.call('EXPIRE', ENDED, ENDED_SECONDS)
  end
end

-- Ends the visit of a user who is inside. Returns 1 for one who never showed up.
local function end_visit(user, meta)
  forget_ticket(ticket_inside(user), meta)
  redis.call('ZREM', ACTIVE, user)
  redis.call('HDEL', TICKETS, user)
  return redis.call('SREM', UNCLAIMED, user)
end

-- Whether Redis lost this visit: its token is from an older life of the same queue, or its ticket
-- was never given out as far as Redis remembers. A user who has another place lost nothing.
local function is_lost(user, ticket, epoch, meta, now)
  if epoch < meta.born or find(user) then return false end
  local lease_end = score(ACTIVE, user)
  if lease_end and lease_end > now then return false end
  if redis.call('SISMEMBER', ENDED, int(ticket)) == 1 then return false end
  return epoch < meta.epoch or ticket > meta.last
end

