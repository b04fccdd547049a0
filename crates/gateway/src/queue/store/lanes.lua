-- lanes: where visits stand, and who is present.
--
-- A visit that is not inside stands in one of four lanes, in each by the key of its place:
--   waiting        the line
--   returned       those who were parked and are here again
--   parked         those who are away; parked_before: since longer
-- Ahead of a visit are those in waiting with a smaller key, whatever lane it stands in itself. Nobody
-- enters waiting but behind all others, so this number never grows.
--
-- Present (user by the instant in µs until which) is recorded of those who are near. A join is proof
-- for a moment, a poll for the pause that was told by it and some allowance. Absent is whose record is
-- over: admission parks them, whether there is room or not.
--
-- ARGV of the verbs of visitors: 2 near: up to which distance visitors are recorded
--   3 pace: the longest pause in µs that is told for each visitor before one
--   4 head: up to which turn 5 cap: no pause is longer (µs); see eta.rs

assert(WAITING ~= RETURNED and PARKED ~= PARKED_BEFORE, 'lanes are four keys')
local LANES = { WAITING, RETURNED, PARKED, PARKED_BEFORE }
-- For how long a join is proof.
local JOINED = 10000000
-- For how long being watched is; who watches is looked up each second. Longer than a client whose stream broke
-- stays away, and than a look may be late.
local WATCHED = 10000000
-- A network may lose a poll.
local ALLOWANCE_LEAST = 5000000
-- Longest pause that a visitor is told, with its jitter.
local PAUSE_MOST = 360000000
-- The first pause is so long at most, and each later one half as long as all before together, ...
local PAUSE_FIRST = 8000000
-- ... for those within so many times the distance that is near.
local YOUNG_REACH = 4
-- Nearer than so many to the head everybody is recorded, at 100 bytes each, ...
local NEAR_LEAST = 4096
-- ... and beyond so many nobody.
local NEAR_MOST = 150000
-- Of 20 who are near, one at least is there, or more are recorded.
local NEAR_SHARE = 20
-- So many may be parked for each who may wait.
local PARKED_SHARE = 4

local function read_told()
  return { near = tonumber(ARGV[2]), pace = tonumber(ARGV[3]), head = tonumber(ARGV[4]),
    cap = tonumber(ARGV[5]) }
end

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

local function parked_now()
  return redis.call('ZCARD', PARKED) + redis.call('ZCARD', PARKED_BEFORE)
end

local function parked_most(policy)
  return PARKED_SHARE * policy.max_waiting
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

-- Up to which distance from the head visitors are recorded: their turn may come within a minute.
local function near_depth(policy, minute, now)
  local free = math.max(0, policy.max_active - active_now(now))
  local soon = math.min(policy.admit_milli * 60 / 1000, free + 2 * minute.admitted)
  local share = math.max(NEAR_SHARE, 2 * minute.passed / (minute.admitted + 1))
  return math.floor(math.min(NEAR_MOST, math.max(NEAR_LEAST, share * soon)))
end

-- The longest pause that a visitor is told whose turn is this one.
local function pause_of(turn, ticket, told, now)
  local pause = math.min(PAUSE_MOST, told.pace * turn)
  if turn <= told.head then pause = math.min(pause, told.cap) end
  if turn <= told.near * YOUNG_REACH then
    pause = math.min(pause, math.max(PAUSE_FIRST, (now - ticket) / 2))
  end
  return pause
end

-- Until when a visitor is there who has just been told a pause. Half an allowance more spares a
-- gateway that knows of the record to renew it with each poll.
local function proven_until(turn, ticket, told, policy, now)
  local pause = pause_of(turn, ticket, told, now)
  local until_us = now + pause + 1.5 * math.max(ALLOWANCE_LEAST, pause / 4)
  -- Before the doors open pauses are told by the time that is left.
  if policy.state == 'scheduled' and now < policy.opens_at then
    until_us = math.max(until_us, policy.opens_at + JOINED)
  end
  return until_us
end

-- Until when a join proves that its visitor is there: before the doors open, until a moment after.
local function joined_until(policy, now)
  if policy.state ~= 'scheduled' then return now + JOINED end
  return math.max(now, policy.opens_at) + JOINED
end

-- Records that a visitor is there, if they are near, by one of three proofs: 'poll', 'watch', 'join'.
local function show_up(user, lane, ahead, ticket, proof, told, policy, now)
  if lane == WAITING and ahead >= told.near then return 0 end
  if proof == 'poll' then
    local turn = ahead + 1 + redis.call('ZCARD', RETURNED)
    redis.call('ZADD', PRESENT, int(proven_until(turn, ticket, told, policy, now)), user)
  else
    local until_us = proof == 'join' and joined_until(policy, now) or now + WATCHED
    redis.call('ZADD', PRESENT, 'GT', int(until_us), user)
  end
  return 1
end

-- The reply for a visitor in line: 'waiting' and how many are ahead, or 'undrawn' and when the
-- doors open. They show up by it; where lots are secret, nothing is done that depends on one.
local function tell(user, lane, key, proof, told, policy, meta, now)
  if is_undrawn(policy, meta) then
    return { 'verdict', 'undrawn', 'opens_at_us', policy.opens_at }
  end
  local ahead = ahead_of(lane, user, key)
  show_up(user, lane, ahead, ticket_at(key, meta), proof, told, policy, now)
  return { 'verdict', 'waiting', 'ahead', ahead }
end

-- Whether admit may find somebody to let in: 1 or 0.
local function room(policy, meta, now)
  local state = in_force(policy, meta, now)
  if state == 'bypass' then return 1 end
  if state ~= 'open' or bucket_level(policy, meta, now) < TOKEN then return 0 end
  return active_now(now) < policy.max_active and 1 or 0
end

-- A request by a visitor inside whose lease ends so: the first one claims the full lease, each keeps
-- idleness away. Returns the end of the lease.
local function claim(user, score_us, policy, now)
  local ticket, lease_end = inside_of(user)
  local is_first = redis.call('SREM', UNCLAIMED, user) == 1
  lease_end = is_first and now + policy.lease or lease_end or score_us
  local ends_us = lease_end
  if policy.idle > 0 then
    -- A second more, because a gateway renews once a second at most.
    ends_us = math.min(lease_end, now + policy.idle + 1000000)
    redis.call('HSET', TICKETS, user, int(ticket) .. ':' .. int(lease_end))
  end
  if ends_us ~= score_us then redis.call('ZADD', ACTIVE, 'XX', int(ends_us), user) end
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

-- Takes a user out of the inside. Returns the ticket, the end of the whole lease where idleness may
-- end it before, and whether the visitor never showed up: 1 or 0.
local function take_out(user)
  local ticket, lease_end = inside_of(user)
  redis.call('ZREM', ACTIVE, user)
  redis.call('HDEL', TICKETS, user)
  return ticket, lease_end, redis.call('SREM', UNCLAIMED, user)
end

local function end_visit(user, meta)
  forget_ticket(take_out(user), meta)
end

-- The lease of a user inside is over. Who never showed up is parked with the own ticket: they may have
-- been away for a moment. Returns 1 for such a one; otherwise 0, and the ticket of the visit that is over.
local function end_lease(user, policy, meta, now)
  local ticket, lease_end, is_no_show = take_out(user)
  if is_no_show == 1 and ticket then
    redis.call('ZADD', PARKED, int(key_of(ticket, policy, meta)), user)
    redis.call('HINCRBY', META, 'no_shows', 1)
    return 1
  end
  forget_ticket(ticket, meta)
  if lease_end and lease_end > now then redis.call('ZADD', IDLED, int(lease_end), user) end
  return 0, ticket
end

-- Up to which ticket Redis had kept all that a life of the queue gave out, when the lives after it began:
-- META floors is a list of 'life:ticket,'.
local function floor_of(epoch)
  local floor
  for life, ticket in string.gmatch(redis.call('HGET', META, 'floors') or '', '(%d+):(%d+),') do
    if tonumber(life) > epoch then floor = math.min(floor or math.huge, tonumber(ticket)) end
  end
  return floor or 0
end

-- Whether Redis lost this visit: its token is from an older life of the same queue and its ticket was
-- given out after what Redis had kept, or its ticket was never given out as far as Redis remembers.
-- A user who has another place lost nothing, but for a place with a lower ticket: that one was over
-- before this ticket was given out.
local function is_lost(user, ticket, epoch, meta, now)
  if epoch < meta.born then return false end
  local lane, key = find(user)
  if lane and (ticket_at(key, meta) or ticket) >= ticket then return false end
  local lease_end = score(ACTIVE, user)
  if lease_end and lease_end > now then return false end
  if redis.call('SISMEMBER', ENDED, int(ticket)) == 1 then return false end
  return (epoch < meta.epoch and ticket > floor_of(epoch)) or ticket > meta.last
end

